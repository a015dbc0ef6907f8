"""`headway sweep`: load after load on our engine, on any server, or on a device that need not be here; where
the knee is, and what binds.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.table import Table

from headway.bench.sweep import (
    Figures,
    Loads,
    Measure,
    as_json,
    at_a_time,
    per_second,
    read_rates,
    read_sizes,
    sweep,
    table,
    usual_sizes,
    words,
)
from headway.bench.sweep_page import sweep_page
from headway.cli import sweep_flags as flag
from headway.cli.ending import last_line, sigterm_as_ctrl_c, told_plainly
from headway.cli.flags import Json
from headway.cli.pages import check_page, write_page
from headway.cli.sim_setup import check_among, told_of
from headway.cli.sweep_systems import Work, at_url, served, simulated
from headway.config import POLICY_NAMES, ConfigError, Settings
from headway.terminal import counting, show_table

default_model = "smollm2"
growing = 8  # loads that a growing sweep comes to, about
most_asked = 1_000_000  # requests of one rate


def sweep_command(
    target: flag.Target = default_model,
    device: flag.Device = None,
    tp: flag.Tp = 1,
    policy: flag.Policy = None,
    served_model: flag.ServedModel = None,
    api_key: flag.ApiKey = None,
    text: flag.Text = False,
    batch_sizes: flag.BatchSizes = None,
    rates: flag.Rates = None,
    prompt_tokens: flag.PromptTokens = 128,
    output_tokens: flag.OutputTokens = 64,
    seconds: flag.Seconds = 30.0,
    repeats: flag.Repeats = 1,
    ttft: flag.Ttft = 0.3,
    html: flag.Html = None,
    json: Json = False,
) -> None:
    """Sweep the batch size, or the rate: throughput beside latency, the knee, what binds.

    A batch size is a closed loop: so many requests at a time, the next as soon as one has its answer. The
    model is served for it, or it is simulated on --device, or the target is a server that runs.
    """
    work = Work(prompt_tokens, output_tokens, seconds, rates is not None, text)
    with told_plainly(as_json=json), sigterm_as_ctrl_c():
        if batch_sizes is not None and rates is not None:
            raise ConfigError("--batch-sizes and --rates are two sweeps; leave one out")
        if policy is not None:
            check_among("--policy", policy, POLICY_NAMES)
        check_page(html)
        loads = read_sizes(batch_sizes or usual_sizes) if rates is None else read_rates(rates)
        if rates is not None and max(loads.given) * seconds > most_asked:
            raise ConfigError(f"--rates {rates}: in {seconds:g} s that is over {most_asked:,} requests")
        total = repeats * (len(loads.given) or growing)
        with _system(target, device, tp, policy, served_model, api_key, loads, work) as (what, measure):
            typer.echo(f"headway: {what}; {prompt_tokens} tokens in, {output_tokens} out", err=True)
            with counting("sweeping", total, shown=True) as done:
                swept = sweep(loads, repeats, _counted(measure, done), ttft)
        unit = at_a_time if rates is None else per_second
        said = list(words(swept, unit))
        if html is not None:
            write_page(html, sweep_page(f"A sweep of {target}", what, swept, unit, said))
    first, *rows = table(swept, unit)
    shown = Table(*first, box=None)
    for column in shown.columns:
        column.justify = "right"
    for row in rows:
        shown.add_row(*row)
    show_table(shown)
    for line in said:
        typer.echo(line)
    if json:
        last_line({"target": target, "system": what, **as_json(swept, unit)})


@contextmanager
def _system(
    target: str,
    device: str | None,
    tp: int,
    policy: str | None,
    served_model: str | None,
    api_key: str | None,
    loads: Loads,
    work: Work,
) -> Iterator[tuple[str, Measure]]:
    """What it is in words, and how it is measured. Raises what `told_plainly` knows."""
    if device is not None:
        with told_of("--device"):
            measure = simulated(target, device, tp, loads, work, policy)
        yield f"{target} simulated on {tp} {device}", measure
    elif "://" in target:
        if policy is not None:
            raise ConfigError("--policy: a server that runs has its own; leave it out")
        yield at_url(target, work, served_model, api_key)
    else:
        with served(target, loads, work, policy) as measure:
            yield f"{target} served here by {policy or Settings().policy_name}", measure


def _counted(measure: Measure, done: Callable[[], None]) -> Measure:
    def counted(load: float, repeat: int) -> Figures:
        found = measure(load, repeat)
        done()
        return found

    return counted
