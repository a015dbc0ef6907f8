"""How well a step's time is foretold on this CPU, and how soon again when the machine's speed changes.

    python benchmarks/forecast_cpu.py [--policy adaptive] [--rate 0.8] [--json]        3 minutes

One server under mixed open-loop load (cpu_world.py), over HTTP. After 30 s of it the steps of the next 40 s
are judged: how far each was off its forecast. Then one process per core begins to compete for the cores; the
steps 51 to 100 from then on are judged; the same once more when they have gone. Read from /metrics
(`headway:forecast_ratio`): shares within the histogram's bounds are exact, quantiles between them are
interpolated. When others had much of the cores during the 40 s it is all done again, up to three times.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cpu_world import MODEL, Configuration, client_json, mixed
from where import where

from headway.bench.client import Client
from headway.bench.load import play
from headway.bench.served import (
    Metrics,
    Server,
    await_quiet,
    buckets,
    disturbance,
    left_alone,
    serving,
    usage,
)

RESULTS = Path(__file__).parent / "results" / "forecast-cpu.json"
warm_s, judged_s, rest_s = 30.0, 40.0, 5.0
first_step, last_step = 50, 100  # after a change: between these counts
poll_s, patience_s = 0.1, 60.0
attempts = 3
name = "headway:forecast_ratio"

Row = dict[str, Any]


def errors(before: Metrics, after: Metrics) -> Row:
    """Of the steps between two scrapes: |actual / forecast - 1|."""
    pairs = zip(buckets(after, name), buckets(before, name), strict=True)
    folded = fold([(bound, now - then) for (bound, now), (_, then) in pairs])
    steps = after[f"{name}_count"] - before[f"{name}_count"]
    return {
        "steps": int(steps),
        "median": quantile(folded, 0.5),
        "p95": quantile(folded, 0.95),
        "within": {f"{distance:g}": round(share, 4) for distance, share in folded},
    }


def fold(ratios: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """From (bound, steps up to it) to (distance from 1, share of the steps within it), rising."""
    up_to = {round(bound, 4): count for bound, count in ratios}
    total = max(up_to.values()) or 1.0
    distances = sorted(round(bound - 1, 4) for bound in up_to if bound > 1 and round(2 - bound, 4) in up_to)
    return [(d, (up_to[round(1 + d, 4)] - up_to[round(1 - d, 4)]) / total) for d in distances]


def quantile(folded: list[tuple[float, float]], share: float) -> float | None:
    """The distance within which so many steps lie, straight between bounds. None: beyond the last."""
    i = bisect_left([within for _, within in folded], share)
    if i == len(folded):
        return None
    (low, less), (high, more) = folded[i - 1] if i else (0.0, 0.0), folded[i]
    return round(low + (high - low) * (share - less) / (more - less), 4)


@contextmanager
def competition() -> Iterator[None]:
    command = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(command) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


class Watch:
    """Follows a server through the phases; what each found is in `found`."""

    def __init__(self, server: Server) -> None:
        self.found: dict[str, Row] = {}
        self.cores: Mapping[str, float] = {}
        self._server = server

    async def __call__(self, client: Client) -> None:
        await asyncio.sleep(warm_s)
        before, used = await self._scrape(), usage(self._server)
        await asyncio.sleep(judged_s)
        self.found["steady"] = errors(before, await self._scrape())
        self.cores = disturbance(used, usage(self._server))
        if not left_alone(self.cores):
            return
        with competition():
            self.found["slower"] = await self._after_change()
            await asyncio.sleep(rest_s)
        self.found["quick again"] = await self._after_change()

    async def _after_change(self) -> Row:
        """Of the steps 51 to 100 from now on, as exactly as scrapes fall."""
        start = (await self._scrape())[f"{name}_count"]
        before = await self._when(start + first_step)
        return errors(before, await self._when(start + last_step))

    async def _when(self, count: float) -> Metrics:
        for _ in range(int(patience_s / poll_s)):
            metrics = await self._scrape()
            if metrics[f"{name}_count"] >= count:
                return metrics
            await asyncio.sleep(poll_s)
        sys.exit(f"there were too few steps within {patience_s:g} s; try a higher --rate")

    async def _scrape(self) -> Metrics:
        return await asyncio.to_thread(self._server.metrics)


def measure(configuration: Configuration, rate: float, seed: int) -> Row:
    most_s = warm_s + judged_s + rest_s + 4 * patience_s
    with serving(MODEL, configuration.flags()) as server:
        watch = Watch(server)
        played = asyncio.run(play(mixed(rate, seed, most_s), server.target, most_s, beside=watch))
    facts = {**configuration._asdict(), "rate": rate, "seed": seed}
    return {**facts, "phases": watch.found, "taken": dict(watch.cores), "client": client_json(played)}


def told(phase: str, row: Row) -> str:
    p95 = "over 50%" if row["p95"] is None else f"{row['p95']:.1%}"
    median = "over 50%" if row["median"] is None else f"{row['median']:.1%}"
    return f"{phase:12} {row['steps']:5} steps: median error {median}, p95 {p95}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--policy", default="adaptive")
    parser.add_argument(
        "--rate", type=float, default=0.8, help="requests/s; such that the slower machine copes"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="the last line is everything as one JSON object")
    given = parser.parse_args()
    facts = where()
    for _ in range(attempts):
        await_quiet()
        row = {**facts, **measure(Configuration(given.policy, 2048, 64), given.rate, given.seed)}
        if left_alone(row["taken"]):
            break
        print(f"not counted: {row['taken']}", flush=True)
    else:
        sys.exit("others had too much of the cores every time; try again when they are quiet")
    for phase, found in row["phases"].items():
        print(told(phase, found))
    RESULTS.write_text(json.dumps(row, indent=1) + "\n")
    if given.json:
        print(json.dumps(row))


if __name__ == "__main__":
    main()
