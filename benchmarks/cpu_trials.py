"""One trial on the real server, and the book in which every trial is kept, so that a run can go on later.

Owns the book's lines: JSON, one a trial, found again by what was measured (stage, configuration, rate, seed,
seconds). Which trials are wanted is policies_cpu.py's.
"""

import asyncio
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from cpu_world import MODEL, Configuration, classes, judged, mixed, warm_up
from where import where

from headway.bench.load import play
from headway.bench.served import await_quiet, disturbance, left_alone, serving, usage

drain_s = 12.0  # what has not ended so long after the last arrival is missed
attempts = 3  # at a trial in which the client was the bottleneck, or the machine was not left alone

Row = dict[str, Any]


class Wanted(NamedTuple):
    """A trial. The same seed asks every configuration for the same."""

    stage: str
    configuration: Configuration
    rate: float  # requests per second
    seed: int
    seconds: float  # of arrivals

    @property
    def key(self) -> str:
        return f"{self.stage}: {self.configuration}, {self.rate:.3f}/s, seed {self.seed}, {self.seconds:g} s"


def counted(trial: Callable[[], Row]) -> Row:
    """The first of some that counts, else the last."""
    for _ in range(attempts):
        await_quiet()
        row = trial()
        if row["valid"]:
            break
        print(f"not counted: {row['cores']}, {row['client']}", flush=True)
    return row


def measure(wanted: Wanted) -> Row:
    """With a server of its own, warmed up. About 10 s longer than its arrivals, 20 s beyond capacity."""
    schedule = mixed(wanted.rate, wanted.seed, wanted.seconds)
    with serving(MODEL, wanted.configuration.flags()) as server:
        asyncio.run(play(warm_up(), server.target, 30.0))
        before = usage(server)
        played = asyncio.run(play(schedule, server.target, wanted.seconds + drain_s))
        cores = disturbance(before, usage(server))
        error = server.slo()["forecast_error"]
    return {
        "stage": wanted.stage,
        "configuration": wanted.configuration._asdict(),
        "rate": wanted.rate,
        "seed": wanted.seed,
        "seconds": wanted.seconds,
        "valid": played.valid and left_alone(cores),
        "cores": cores,
        **judged(played, wanted.seconds, classes()).as_json(),
        "forecast_error": error and round(error, 4),
    }


@dataclass
class Book:
    """Trials that were made. A line that is not valid is kept and never used."""

    path: Path
    measure: Callable[[Wanted], Row] = measure
    say: Callable[[str], None] = print
    await_quiet: Callable[[], None] = await_quiet

    def __post_init__(self) -> None:
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        self.rows: list[Row] = [json.loads(line) for line in lines]
        self._known = {key_of(row): row for row in self.rows if row["valid"]}

    def trial(self, wanted: Wanted) -> Row:
        """From the book, or made now and written into it."""
        if wanted.key in self._known:
            return self._known[wanted.key]
        facts = where()
        for _ in range(attempts):
            self.await_quiet()
            row: Row = {**self.measure(wanted), "where": facts}
            self.rows.append(row)
            with self.path.open("a") as book:
                book.write(json.dumps(row) + "\n")
            self.say(f"{wanted.key}: {told(row)}")
            if row["valid"]:
                self._known[wanted.key] = row
                break
        return row


def key_of(row: Row) -> str:
    configuration = Configuration(**row["configuration"])
    return Wanted(row["stage"], configuration, row["rate"], row["seed"], row["seconds"]).key


def told(row: Row) -> str:
    shares = [f"{name} {line['attainment']:.0%}" for name, line in row["classes"].items() if name != "batch"]
    late = "" if row["valid"] else f"; NOT VALID: {row['client']}, {row['cores']}"
    batch = f"batch tokens {row['completion']:.0%}"
    return f"goodput {row['goodput']:.2f}/s, {', '.join((*shares, batch))}{late}"


class Pooled(NamedTuple):
    """Several trials as one."""

    goodput: float
    completion: float  # of batch's tokens
    attainment: float  # of the class that fares worst among those with targets


def pooled(rows: Iterable[Row]) -> Pooled:
    """Trials of one configuration, each weighing as much as its arrivals last."""
    rows = list(rows)
    seconds = sum(row["seconds"] for row in rows)
    met: dict[str, list[int]] = {}
    for row in rows:
        for name, line in row["classes"].items():
            sums = met.setdefault(name, [0, 0])
            sums[0] += line["met"]
            sums[1] += line["requests"]
    promised = [good / asked for name, (good, asked) in met.items() if name != "batch"]
    return Pooled(
        sum(row["goodput"] * row["seconds"] for row in rows) / seconds,
        sum(row["completion"] * row["seconds"] for row in rows) / seconds,
        min(promised, default=1.0),
    )
