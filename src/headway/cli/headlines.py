"""`headway headlines`: published results, run again in simulation; and what this machine's engine gives."""

import os
from typing import Annotated

import typer
from rich.table import Table

from headway.cli.ending import last_line, told_plainly
from headway.cli.flags import Json
from headway.cli.measured import serve
from headway.config import ConfigError
from headway.headlines.experiments import EXPERIMENTS, MEASURED, in_order, jobs_of, run
from headway.headlines.rows import FULL, QUICK, Row
from headway.terminal import show_table, telling


def headlines(
    quick: Annotated[
        bool, typer.Option("--quick", help="Shorter runs, one seed, chat's lengths alone: minutes.")
    ] = False,
    only: Annotated[
        str | None,
        typer.Option(metavar="LETTERS", help="Some of A, B, C, D, E, F, F2, G, with commas between."),
    ] = None,
    real: Annotated[
        bool, typer.Option("--real", help="G too, measured on this machine: ten minutes without other work.")
    ] = False,
    json: Json = False,
) -> None:
    """Rerun published results on the simulator: each claim, where it stands, what comes out here.

    The scheduler is the engine's own. A row whose figure a parameter was fitted on is marked: it is met, not
    predicted. Half an hour on two cores.
    """
    with told_plainly(as_json=json):
        letters, effort = _letters(only, real=real), QUICK if quick else FULL
        simulated = jobs_of((letter for letter in letters if letter in EXPERIMENTS), effort)
        measured = [
            job for letter in letters if letter in MEASURED for job in MEASURED[letter](effort, serve)
        ]
        with telling() as told:
            found = {job.label: rows for job, rows in run(simulated, os.cpu_count() or 1, told)}
        with telling() as told:
            found |= {job.label: rows for job, rows in run(measured, 1, told)}
    rows = in_order([*simulated, *measured], found)
    _show(rows)
    if json:
        last_line({"rows": [row.as_json() for row in rows]})


def _letters(only: str | None, *, real: bool) -> list[str]:
    """In the order they are listed in. Raises ConfigError."""
    known = [*EXPERIMENTS, *MEASURED]
    if only is None:
        return known if real else list(EXPERIMENTS)
    asked = {letter.strip().upper() for letter in only.split(",")}
    unknown = sorted(asked - set(known))
    if unknown:
        raise ConfigError(f"--only: {unknown[0]!r} is no experiment; there are {', '.join(known)}")
    measured = ", ".join(letter for letter in MEASURED if letter in asked)
    if measured and not real:
        raise ConfigError(f"--only: {measured} is measured on this machine, not simulated; add --real")
    if real and not measured:
        raise ConfigError(f"--real: it measures {', '.join(MEASURED)}, which --only leaves out")
    return [letter for letter in known if letter in asked]


def _show(rows: list[Row]) -> None:
    table = Table("", "claim", "source", "ours", "ratio", box=None)
    table.columns[3].justify = table.columns[4].justify = "right"
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        fitted = " (fitted)" if row.fitted else ""
        table.add_row(
            row.id.split("/")[0], row.claim, row.source, f"{row.ours:,.4g} {row.unit}", ratio + fitted
        )
    show_table(table)
