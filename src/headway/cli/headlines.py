"""`headway headlines`: published results, run again in simulation."""

import os
from typing import Annotated

import typer
from rich.table import Table

from headway.cli.ending import last_line, told_plainly
from headway.cli.flags import Json
from headway.config import ConfigError
from headway.headlines.experiments import EXPERIMENTS, in_order, jobs_of, run
from headway.headlines.rows import FULL, QUICK, Row
from headway.terminal import show_table, telling


def headlines(
    quick: Annotated[
        bool, typer.Option("--quick", help="Shorter runs, one seed, chat's lengths alone: minutes.")
    ] = False,
    only: Annotated[
        str | None, typer.Option(metavar="LETTERS", help="Some of A, B, C, D, E, F, F2, with commas between.")
    ] = None,
    json: Json = False,
) -> None:
    """Rerun published results on the simulator: each claim, where it stands, what comes out here.

    The scheduler is the engine's own. A row whose figure a parameter was fitted on is marked: it is met, not
    predicted. Half an hour on two cores.
    """
    with told_plainly(as_json=json):
        jobs = jobs_of(_letters(only), QUICK if quick else FULL)
        with telling() as told:
            found = {job.label: rows for job, rows in run(jobs, os.cpu_count() or 1, told)}
    rows = in_order(jobs, found)
    _show(rows)
    if json:
        last_line({"rows": [row.as_json() for row in rows]})


def _letters(only: str | None) -> list[str]:
    if only is None:
        return list(EXPERIMENTS)
    asked = {letter.strip().upper() for letter in only.split(",")}
    unknown = sorted(asked - set(EXPERIMENTS))
    if unknown:
        raise ConfigError(f"--only: {unknown[0]!r} is no experiment; there are {', '.join(EXPERIMENTS)}")
    return [letter for letter in EXPERIMENTS if letter in asked]


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
