"""`headway plan`: of each device the layout that keeps the promises for the least money."""

import os
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import typer
from rich.table import Table

from headway.cli import plan_flags as flag
from headway.cli import sim_flags as shared
from headway.cli.ending import last_line, told_plainly
from headway.cli.flags import Json
from headway.cli.pages import write_page
from headway.cli.plan_setup import Asked, Setup, set_up
from headway.cli.sim_setup import AskedLoad
from headway.plan import words
from headway.plan.figures import columns, figures, row
from headway.plan.page import plan_page
from headway.plan.plan import Plan
from headway.plan.plan import plan as make_plan
from headway.sim.devices import DEVICES, prices_as_of
from headway.terminal import show_table, telling


def plan(
    context: typer.Context,
    model: shared.Model = "Mistral-7B",
    device: flag.Devices = None,
    devices: shared.Devices = None,
    tp: flag.Tp = None,
    pp: flag.Pp = "1,2",
    gpus: flag.Gpus = 8,
    weights: flag.Weights = "16bit",
    kv: flag.Kv = "16bit",
    policy: flag.Policies = "adaptive",
    max_num_batched_tokens: flag.Budgets = None,
    max_num_seqs: flag.MaxNumSeqs = 256,
    memory_share: shared.MemoryShare = 0.9,
    engine: shared.Engine = "headway",
    max_model_len: shared.MaxModelLen = 16_384,
    classes: shared.Classes = None,
    workload: shared.WorkloadName = "sharegpt",
    lengths: shared.LengthsFile = None,
    trace: shared.TraceFile = None,
    trace_kind: shared.TraceKind = None,
    mix: shared.Mix = None,
    arrivals: shared.Arrivals = None,
    rate: flag.Rate = None,
    price: flag.Prices = None,
    seed: shared.Seed = 1,
    seeds: flag.Seeds = 3,
    page: flag.Page = None,
    json: Json = False,
) -> None:
    """Plan a deployment: which devices keep your promises, laid out how, for how much money.

    Every candidate runs the engine's own scheduler in simulation. One that is out has a line that says why.
    """
    with told_plainly(as_json=json):
        given = context.params
        setup = set_up(
            Asked(**{field.name: given[field.name] for field in fields(Asked)}),
            AskedLoad(
                workload=workload, lengths=lengths, trace=trace, trace_kind=trace_kind, mix=mix,
                arrivals=arrivals, requests=None, window=1.0,
            ),
        )  # fmt: skip
        with telling() as tell:
            made = make_plan(
                setup.question,
                setup.candidates(),
                min(len(setup.devices), os.cpu_count() or 1),
                lambda done, total: tell(["planning"], done, total),
            )
        said = figures(made, setup.question)
        _show(setup, made, said)
        if page is not None:
            of = f"simulated: {trace or lengths or workload}; {_prices(setup)}"
            write_page(page, plan_page(_title(setup), of, made, setup.question), "--page")
    if json:
        listed = {device.name: device.dollars_per_hour for device in setup.devices}
        last_line({"model": setup.model.name, "prices": listed, **said})


def _title(setup: Setup) -> str:
    return f"Where {setup.model.name} keeps its promises for the least money"


def _prices(setup: Setup) -> str:
    """Which of them nobody but us has said."""
    ours = [d.name for d in setup.devices if DEVICES.get(d.name, d).dollars_per_hour == d.dollars_per_hour]
    ours = [name for name in ours if name in DEVICES]
    if not ours:
        return "prices as given"
    return f"prices of {', '.join(ours)} are placeholders of {prices_as_of}; say yours with --price"


def _show(setup: Setup, made: Plan, said: Mapping[str, Any]) -> None:
    table = Table(*columns, box=None, pad_edge=False)
    for choice in made.choices:
        table.add_row(*row(choice))
    if made.choices:
        show_table(table)
    for device in setup.devices:
        if device.name not in {choice.device for choice in made.choices}:
            why = [each for each in made.refused if each.device == device.name][-1]
            typer.echo(f"{device.name} ({why.name}): {why.why}")
    for line in (*said["promises"], said["intervals"], _prices(setup)):
        typer.echo(line)
    if made.choices:
        typer.echo(f"TP or PP, {made.choices[0].device}: {words.against(made.choices[0])}")
    typer.echo(said["recommendation"])
