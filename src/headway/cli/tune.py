"""`headway tune`: which settings to serve a model with on this machine, simulated first, then measured."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.table import Table

from headway.bench.workload import Load
from headway.cli import bench_flags
from headway.cli.ending import last_line, sigterm_as_ctrl_c, told_plainly
from headway.cli.flags import Json
from headway.cli.pages import write_page
from headway.cli.sim_own import Own, own_profile, server_flags
from headway.cli.sim_setup import Asked, Setup, check_among, set_up
from headway.cli.tune_systems import Measured, Work, measured, simulated
from headway.config import ConfigError
from headway.profile.file import BadProfile
from headway.terminal import counting, show_table
from headway.tune.search import Scored, Try, finalists, largest_rate, refined, rough
from headway.tune.settings import USES, Tuned, Use, grid, usual

default_model, default_use = "smollm2", "mix"
first_rate = 1.0  # requests per second that the search for a rate begins with
refined_most = 30  # settings that are tried again, about


def _option(help: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel="Search", **more)


Model = Annotated[str, typer.Argument(help="As headway serve takes it.")]
For = Annotated[
    str,
    _option(f"What it is for: {', '.join(USES)}. Says where the search begins, and who asks.", "--for"),
]
Rate = Annotated[
    float | None,
    _option(
        "Requests per second to tune for. Default: the most that any settings hold in simulation.",
        min=1e-3, max=1e4, show_default=False,
    ),
]  # fmt: skip
Profile = Annotated[
    Path | None,
    _option(
        "What headway calibrate wrote. Default: this machine's own; measured first if there is none.",
        metavar="FILE", show_default=False,
    ),
]  # fmt: skip
Confirm = Annotated[
    int,
    _option("So many of the best are measured, beside what serve has by default; 0: none.", min=0, max=50),
]
Seconds = Annotated[float, _option("Of arrivals in a measurement.", min=5.0, max=3600.0)]
Output = Annotated[
    Path, _option("The settings, for headway serve --config; no file that exists is written over.")
]


def tune_command(
    model: Model = default_model,
    use: For = default_use,
    rate: Rate = None,
    classes: bench_flags.Classes = None,
    workload: bench_flags.Workload = None,
    lengths: bench_flags.Lengths = None,
    trace: bench_flags.Trace = None,
    trace_kind: bench_flags.TraceKind = None,
    mix: bench_flags.Mix = None,
    arrivals: bench_flags.Arrivals = None,
    profile: Profile = None,
    confirm: Confirm = 3,
    seconds: Seconds = 40.0,
    seed: bench_flags.Seed = 1,
    output: Output = Path("headway-tuned.yaml"),
    json: Json = False,
) -> None:
    """Find the policy, the step's length and the number of sequences that serve best on this machine.

    Settings are simulated on what `headway calibrate` measured, the best few are measured over HTTP, and the
    best of those is written down for `headway serve --config`. Best is who meets the classes' promises for
    the most requests; for batch, who makes the most tokens.
    """
    with told_plainly(as_json=json), sigterm_as_ctrl_c():
        check_among("--for", use, USES)
        _check_new(output)
        asked = Asked(
            model=model, profile=profile, classes=classes, workload=workload, lengths=lengths, trace=trace,
            trace_kind=trace_kind, mix=mix, arrivals=arrivals,
        )  # fmt: skip
        own = _own(asked)
        setup, work = _work(asked, own, USES[use])
        found = _simulated(setup, work, USES[use], rate, seed)
        chosen = finalists(found.refined, usual(), confirm) if confirm else []
        flags = server_flags(replace(asked, profile=own.profile), own)
        attempt = measured(own.model, _unset(flags), work, found.rate, seed, seconds)
        runs = list(_confirmed(attempt, chosen))
        best = max(runs, key=lambda run: run[1].score.rank)[0] if runs else found.refined[0].tuned
        lines = list(_compared(found, runs))
        write_page(output, _config(model, use, classes, best, found.rate, work), "--output")
    _show(lines, work, best)
    if json:
        last_line({"model": model, "for": use, "rate": found.rate, "profile": str(own.profile),
                   "tried": len(found.tried), "settings": best.settings, "config": str(output),
                   "compared": lines})  # fmt: skip


def _check_new(path: Path) -> None:
    """Before the work, not after it."""
    if path.exists():
        raise ConfigError(f"--output {path}: it exists; name another, or move it away")
    if not os.access(path.absolute().parent, os.W_OK):
        raise ConfigError(f"--output {path}: it cannot be written there")


def _own(asked: Asked) -> Own:
    """With a calibration before, if this machine has none."""
    try:
        return own_profile(asked)
    except BadProfile:
        if asked.profile is not None:
            raise
    typer.echo("headway: no profile of this model and machine yet; measuring one, a minute", err=True)
    command = [sys.executable, "-m", "headway.cli", "calibrate", asked.model or default_model]
    done = subprocess.run(command, stdout=subprocess.DEVNULL)  # what it says goes to our stderr
    if done.returncode:
        raise ConfigError("calibration failed; `headway calibrate` alone says more")
    return own_profile(asked)


def _work(asked: Asked, own: Own, use: Use) -> tuple[Setup, Work]:
    setup = set_up(replace(asked, model=None, profile=own.profile))
    named = asked.workload or asked.lengths or asked.trace or asked.mix
    load: Load = setup.load if named else use.workload
    return setup, Work(load, setup.classes, use.at_once)


@dataclass(frozen=True, slots=True)
class _Found:
    rate: float
    tried: Sequence[Scored]
    refined: Sequence[Scored]


def _simulated(setup: Setup, work: Work, use: Use, rate: float | None, seed: int) -> _Found:
    first, attempt = list(dict.fromkeys([*grid(use), usual()])), simulated(setup, work, seed)
    typer.echo(f"headway: {setup.machine.title}, {setup.machine.words}", err=True)
    with counting("simulating", len(first) + refined_most, shown=True) as done:
        counted = _counted(attempt, done)
        start = rate or (first_rate if work.at_once else largest_rate([usual()], first_rate, attempt))
        tried = rough(first, start, counted)
        most = rate or (start if work.at_once else largest_rate([s.tuned for s in tried[:4]], start, attempt))
        return _Found(most, tried, refined(tried, most, counted))


def _counted(attempt: Try, done: Callable[[], None]) -> Try:
    def counted(tuned: Tuned, rate: float, draws: int) -> Any:
        found = attempt(tuned, rate, draws)
        done()
        return found

    return counted


def _unset(flags: Sequence[str]) -> list[str]:
    """Without what is tuned."""
    tuned = {f"--{key}" for key in usual().settings}
    words = iter(flags)
    return [word for word in words if not (word in tuned and next(words))]


def _confirmed(
    attempt: Callable[[Tuned], Measured], chosen: Sequence[Tuned]
) -> Iterator[tuple[Tuned, Measured]]:
    for number, tuned in enumerate(chosen):
        run = attempt(tuned)
        cores = ", ".join(f"{name} had {value:.2f} cores" for name, value in run.cores.items())
        doubt = "" if run.counts else f"; disturbed ({cores}), take it with care"
        words = f"measured {number + 1} of {len(chosen)}, {tuned}: {run.score.goodput:.2f}/s{doubt}"
        typer.echo(f"headway: {words}", err=True)
        yield tuned, run


def _compared(found: _Found, runs: Sequence[tuple[Tuned, Measured]]) -> Iterator[dict[str, Any]]:
    predicted = {each.tuned: each.score for each in [*found.tried, *found.refined]}
    for tuned, run in runs:
        score = predicted.get(tuned)
        yield {
            **tuned.settings,
            "predicted": None if score is None else score.goodput,
            "measured": run.score.goodput,
            "attainment": run.score.attainment,
            "counts": run.counts,
        }


def _config(model: str, use: str, classes: list[str] | None, best: Tuned, rate: float, work: Work) -> str:
    at = "all at once" if work.at_once else f"at {rate:.3g} requests/s"
    head = f"# headway tune {model} --for {use}, {at}, {datetime.now(UTC):%Y-%m-%d}\n"
    return head + yaml.safe_dump(best.settings | ({"class": classes} if classes else {}), sort_keys=False)


def _show(lines: Sequence[dict[str, Any]], work: Work, best: Tuned) -> None:
    unit = "tokens/s" if work.at_once else "goodput, requests/s"
    head = (
        "policy",
        "tokens of a step",
        "sequences",
        "block",
        f"{unit}: simulated",
        "measured",
        "attainment",
    )
    table = Table(*head, box=None)
    for line in lines:
        settings = [str(line[key]) for key in best.settings]
        simulated_ = "-" if line["predicted"] is None else f"{line['predicted']:.2f}"
        table.add_row(*settings, simulated_, f"{line['measured']:.2f}", f"{line['attainment']:.0%}")
    if lines:
        show_table(table)
    typer.echo(f"best: {best}")
