"""What a deep queue of batch costs chat, and how much of it is done beside chat, simulated: Mistral-7B on an
A100-80, adaptive.

    python benchmarks/background_simulated.py [--processes N]

Chat comes at shares of its capacity, the same requests once alone and once beside a batch queue that never
empties; and that queue is run alone. Results go to benchmarks/results/, from where `policies_page.py` makes
the page in docs/.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from heapq import merge
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import policies_page
import policies_simulated
from policies_world import DEFAULTS, FULL, trial

from headway.bench.arrivals import at_once
from headway.bench.report import report
from headway.bench.workload import CLASSES, WORKLOADS, Arrival, Load, Part, Workload
from headway.core.types import Batch
from headway.sim.executor import Cost
from headway.sim.judge import Judge
from headway.sim.simulate import run

RESULTS = Path(__file__).parent / "results" / "background-simulated.json"
shares = (0.3, 0.7)  # of chat's capacity
deep = Workload((Part("batch", 1.0, "document"),), at_once, requests=5_000)

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Beside:
    """Chat, and all of the batch at once."""

    queue: Workload

    def arrivals(self, rate: float, seed: int, until_s: float) -> Iterator[Arrival]:
        chat = WORKLOADS["chat"].arrivals(rate, seed, until_s)
        return merge(self.queue.arrivals(1.0, seed, until_s), chat, key=lambda arrival: arrival.at_s)


class Task(NamedTuple):
    rate: float  # of chat; 0: batch alone
    seed: int
    queue: bool


class Outcome(NamedTuple):
    met: int
    requests: int  # chat's
    busy: float  # share of the time until the last that is judged has ended
    batch_tok_s: float  # completed


def outcome(task: Task) -> Outcome:
    busy_s = 0.0

    def timed(cost: Cost, batch: Batch) -> float:
        nonlocal busy_s
        step_s = cost(batch)
        busy_s += step_s
        return step_s

    setup = trial(load_of(task), FULL)
    setup = replace(setup, cost=partial(timed, setup.cost))
    asked = list(setup.workload.arrivals(task.rate or 1.0, task.seed, FULL.horizon_s))
    judge = Judge(asked, CLASSES, FULL.window_s, tolerated=1.0)
    adaptive = DEFAULTS["adaptive"]
    end_s = run(setup, adaptive.make(), adaptive.limits(), asked, task.seed, judge)
    classes = report(judge.answers(), CLASSES, FULL.window_s).classes
    met, requests = (classes["chat"].met, classes["chat"].requests) if "chat" in classes else (0, 0)
    batch_tokens = classes["batch"].complete_tokens if "batch" in classes else 0
    return Outcome(met, requests, busy_s / end_s, batch_tokens / end_s)


def load_of(task: Task) -> Load:
    if not task.queue:
        return WORKLOADS["chat"]
    return Beside(deep) if task.rate else deep


def row(share: float, tasks: Sequence[Task], outcomes: Sequence[Outcome]) -> Row:
    """Of each seed."""
    return {
        "share": share,
        "rate": round(tasks[0].rate, 3),
        "queue": tasks[0].queue,
        "requests": [each.requests for each in outcomes],
        "met": [each.met for each in outcomes],
        "busy": [round(each.busy, 4) for each in outcomes],
        "batch_tok_s": round(mean(each.batch_tok_s for each in outcomes), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--processes", type=int, default=2)
    processes = parser.parse_args().processes
    known = policies_simulated.load()[policies_simulated.Task("chat", "adaptive")]
    worlds = [*((share, queue) for share in shares for queue in (False, True)), (0.0, True)]
    rows = []
    with ProcessPoolExecutor(processes) as pool:
        for share, queue in worlds:
            tasks = [Task(share * known["capacity"], seed, queue) for seed in FULL.seeds]
            rows.append(row(share, tasks, list(pool.map(outcome, tasks))))
            print(json.dumps(rows[-1]), flush=True)
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    policies_page.write()


if __name__ == "__main__":
    main()
