"""What `headway tune` chose, beside an exhaustive grid and the defaults of stall-free: the real server over
HTTP, on this machine.

    headway tune smollm2 --for chat --class chat:ttft=2s,itl=200ms --json | tail -1 > tuned.json
    python benchmarks/tune_grid.py tuned.json --class chat:ttft=2s,itl=200ms     40 minutes on two cores

Every point of the grid is measured once, on the same requests, at the rate that was tuned for; what was
chosen and the defaults come between them again and again, so that what the machine does to one it does to
all. A point that comes first among so many has had luck, too: the best three, what was chosen and the
defaults are then measured in turns, with other requests each turn, and those turns are what counts. A
disturbed trial is made again. Results: benchmarks/results/tune-grid.json.
"""

import argparse
import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from cpu_trials import attempts
from where import where

from headway.classes import read_classes
from headway.cli.tune_systems import Work, measured
from headway.tune.settings import USES, Tuned

RESULTS = Path(__file__).parent / "results" / "tune-grid.json"
GRID = [
    Tuned(policy, budget, seqs)
    for policy in ("adaptive", "stall-free", "decode-first", "prefill-first")
    for budget in (64, 256, 1024)
    for seqs in (4, 16)
]
STALL_FREE = Tuned("stall-free", 256, 64)  # as `headway serve --policy stall-free` has it
between, finalists, turns = 6, 3, 3

Row = dict[str, Any]


class Trials:
    def __init__(self, model: str, use: str, promises: Sequence[str], rate: float, seconds: float) -> None:
        self._model, self._use, self._promises = model, use, promises
        self._rate, self._seconds = rate, seconds
        self.rows: list[Row] = []

    def measure(self, tuned: Tuned, seed: int) -> None:
        use = USES[self._use]
        classes = read_classes(";".join(self._promises))
        work = Work(use.workload, classes, use.at_once, self._seconds, seed)
        flags = [word for each in self._promises for word in ("--class", each)]
        attempt = measured(self._model, flags, work, self._rate)
        for _ in range(attempts):
            run = attempt(tuned)
            if run.counts:
                break
        figures = {"goodput": run.score.goodput, "attainment": run.score.attainment}
        self.rows.append({**tuned.settings, "seed": seed, "counts": run.counts, **figures})
        doubt = "" if run.counts else "; NOT VALID"
        print(f"{len(self.rows)}: seed {seed}, {tuned}: {run.score.goodput:.3f}/s{doubt}", flush=True)

    def of(self, tuned: Tuned, seeds: Sequence[int]) -> list[float]:
        own = [row for row in self.rows if row.items() >= tuned.settings.items() and row["seed"] in seeds]
        return [row["goodput"] for row in own if row["counts"]] or [row["goodput"] for row in own]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tuned", type=Path, help="the last line of headway tune --json")
    parser.add_argument("--class", dest="promises", action="append", default=[], help="as tune had them")
    parser.add_argument("--seconds", type=float, default=30.0)
    given = parser.parse_args()
    tuned = json.loads(given.tuned.read_text())
    chosen = Tuned(*tuned["settings"].values())
    facts = where()
    trials = Trials(tuned["model"], tuned["for"], given.promises, tuned["rate"], given.seconds)
    points = iter(GRID)
    while some := list(islice(points, between)):
        for each in (chosen, STALL_FREE, *some):
            trials.measure(each, seed=11)
    ranked = sorted(GRID, key=lambda each: median(trials.of(each, [11])), reverse=True)
    last = [*ranked[:finalists], chosen, STALL_FREE]
    seeds = range(21, 21 + turns)
    for turn, seed in enumerate(seeds):
        for each in last[turn:] + last[:turn]:
            trials.measure(each, seed)
    goodput = {str(each): median(trials.of(each, seeds)) for each in last}
    best = max(goodput[str(each)] for each in ranked[:finalists])
    found = {
        "where": facts,
        "tuned": tuned,
        "trials": trials.rows,
        "goodput": goodput,
        "of_the_best_of_the_grid": goodput[str(chosen)] / best,
        "over_stall_free": goodput[str(chosen)] / goodput[str(STALL_FREE)],
    }
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    print(
        json.dumps({name: found[name] for name in ("goodput", "of_the_best_of_the_grid", "over_stall_free")})
    )


if __name__ == "__main__":
    main()
