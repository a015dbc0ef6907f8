"""What a deep queue of batch costs chat, and how much of it is done beside chat, simulated: Mistral-7B on an
A100-80, adaptive.

    python benchmarks/background_simulated.py [--processes N]

Chat comes at shares of its capacity, the same requests once alone and once beside a batch queue that never
empties. Results go to benchmarks/results/, from where `policies_page.py` makes the page in docs/.
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
from headway.bench.workload import WORKLOADS, Arrival, Part, Workload
from headway.core.types import Batch
from headway.sim.executor import Cost
from headway.sim.simulate import simulate

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
        return merge(self.queue.arrivals(1.0, seed, until_s), chat)


class Task(NamedTuple):
    rate: float
    seed: int
    queue: bool


class Outcome(NamedTuple):
    met: int
    requests: int
    busy: float  # share of the time up to the horizon
    batch_tokens: int  # completed


def outcome(task: Task) -> Outcome:
    busy_s = 0.0

    def timed(cost: Cost, batch: Batch) -> float:
        nonlocal busy_s
        step_s = cost(batch)
        busy_s += step_s
        return step_s

    load = Beside(deep) if task.queue else WORKLOADS["chat"]
    setup = trial(load, FULL)
    setup = replace(setup, cost=partial(timed, setup.cost))
    adaptive = DEFAULTS["adaptive"]
    report = simulate(setup, adaptive.make(), adaptive.limits(), task.rate, task.seed)
    chat, batch = report.classes["chat"], report.classes.get("batch")
    batch_tokens = batch.complete_tokens if batch else 0
    return Outcome(chat.met, chat.requests, busy_s / FULL.horizon_s, batch_tokens)


def row(share: float, tasks: Sequence[Task], outcomes: Sequence[Outcome]) -> Row:
    """Over the seeds."""
    met, requests = (sum(each[i] for each in outcomes) for i in range(2))
    busy = sorted(each.busy for each in outcomes)
    return {
        "share": share,
        "rate": round(tasks[0].rate, 3),
        "queue": tasks[0].queue,
        "requests": requests,
        "attainment": round(met / requests, 4),
        "busy": [round(busy[0], 4), round(busy[-1], 4)],
        "batch_tok_s": round(mean(each.batch_tokens for each in outcomes) / FULL.horizon_s, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--processes", type=int, default=2)
    processes = parser.parse_args().processes
    known = policies_simulated.load()[policies_simulated.Task("chat", "adaptive")]
    worlds = [(share, queue) for share in shares for queue in (False, True)]
    tasks = [[Task(s * known["capacity"], seed, queue) for seed in FULL.seeds] for s, queue in worlds]
    rows = []
    with ProcessPoolExecutor(processes) as pool:
        for (share, _), group, found in zip(
            worlds, tasks, [[pool.submit(outcome, task) for task in group] for group in tasks], strict=True
        ):
            rows.append(row(share, group, [each.result() for each in found]))
            print(json.dumps(rows[-1]), flush=True)
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    policies_page.write()


if __name__ == "__main__":
    main()
