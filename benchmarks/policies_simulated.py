"""Every policy, and the best fixed configuration a search finds, on the pinned workloads, simulated:
Mistral-7B on an A100-80.

    python benchmarks/policies_simulated.py                                       all of it
    python benchmarks/policies_simulated.py --policy aimd --workload mixed        a part; the rest is kept
    python benchmarks/policies_simulated.py --quick --policy ... --workload ...   240 s; nothing is kept

Capacity is the largest rate at which every class with targets meets them for 95 % of its requests and 90 %
of the batch tokens are done, on most of the seeds. Goodput is given at 1.5 times the best fixed
configuration's capacity and at 1.5 times the policy's own. The search races its candidates on seeds of
their own. Results go to benchmarks/results/, from where `policies_page.py` makes the page in docs/.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median_low
from typing import Any, NamedTuple

import policies_page
from policies_world import DEFAULTS, FIXED, FULL, QUICK, Configuration, Effort, simulated

from headway.bench.report import Report
from headway.bench.workload import WORKLOADS
from headway.sim.capacity import best, capacity, holds, most

RESULTS = Path(__file__).parent / "results" / "policies-simulated.json"
BEST_FIXED = "best fixed"
guess, search_seeds, overload = 2.0, (11, 12, 13), 1.5

Row = dict[str, Any]


class Task(NamedTuple):
    workload: str
    policy: str  # of DEFAULTS, or BEST_FIXED


def can(
    workload: str, seeds: Sequence[int], effort: Effort, configuration: Configuration, rate: float
) -> bool:
    """Whether the rate holds on most of the seeds."""
    run = partial(simulated, workload, configuration, rate, effort=effort, decided=True)
    return most((holds(run(seed=seed)) for seed in seeds), len(seeds))


def find_capacity(effort: Effort, task: Task) -> Row:
    """A task's configuration and its capacity. The best fixed one is the better of the last two leaders."""
    held = partial(can, task.workload, effort.seeds, effort)
    if task.policy == BEST_FIXED:
        raced = best(FIXED, partial(can, task.workload, search_seeds, effort.of_search), guess)
        finalists = raced[-2:]
    else:
        finalists = [DEFAULTS[task.policy]]
    found = [(capacity(partial(held, finalist), guess), finalist) for finalist in finalists]
    rate, configuration = max(found, key=lambda each: each[0])
    return {
        "workload": task.workload,
        "policy": task.policy,
        "configuration": configuration._asdict(),
        "capacity": round(rate, 3),
        "overload": {},
    }


def measure_overload(effort: Effort, name: str, row: Row, rate: float | None) -> Row:
    """The run with the median goodput among the seeds' runs. No rate: it stays unmeasured."""
    if rate is None:
        return row
    configuration = Configuration(**row["configuration"])
    reports = [simulated(row["workload"], configuration, rate, seed, effort) for seed in effort.seeds]
    middle = median_low(sorted(report.goodput for report in reports))
    report = next(report for report in reports if report.goodput == middle)
    return {**row, "overload": {**row["overload"], name: {"rate": round(rate, 3), **as_json(report)}}}


def as_json(report: Report) -> Row:
    return {
        "goodput": round(report.goodput, 3),
        "goodput_tok_s": round(report.goodput_tok_s, 1),
        "attainment": {n: round(c.attainment, 4) for n, c in report.classes.items() if c.promised},
        "completion": round(report.completion, 4),
        "ttft_p95_s": {n: c.ttft and round(c.ttft.p95, 4) for n, c in report.classes.items()},
        "itl_p95_s": {n: c.itl and round(c.itl.p95, 4) for n, c in report.classes.items()},
    }


def run(tasks: list[Task], effort: Effort, known: Mapping[Task, Row], processes: int) -> list[Row]:
    """Capacities first, then goodput beyond them. `known`: the best fixed capacity where it is no task."""
    with ProcessPoolExecutor(processes) as pool:
        rows = []
        for row in pool.map(partial(find_capacity, effort), tasks):
            rows.append(row)
            text = f"{row['workload']:13} {row['policy']:14} {policies_page.setting(row):32}"
            print(f"{text} {row['capacity']:7.3f} /s", flush=True)
        fixed = {**known, **{Task(row["workload"], row["policy"]): row for row in rows}}
        of_fixed = [fixed.get(Task(row["workload"], BEST_FIXED), {}).get("capacity") for row in rows]
        of_its_own = [row["capacity"] for row in rows]
        for name, capacities in (("of best fixed", of_fixed), ("of its own", of_its_own)):
            rates = [overload * rate if rate else None for rate in capacities]
            rows = list(pool.map(partial(measure_overload, effort, name), rows, rates))
            print(f"goodput at {overload} times the capacity {name}: done", flush=True)
    return rows


def load() -> dict[Task, Row]:
    rows = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
    return {Task(row["workload"], row["policy"]): row for row in rows}


def main() -> None:
    policies = [*DEFAULTS, BEST_FIXED]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--workload", action="append", choices=list(WORKLOADS), help="default: all")
    parser.add_argument("--policy", action="append", choices=policies, help="default: all")
    parser.add_argument("--quick", action="store_true", help="short runs; nothing is kept")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    effort = QUICK if arguments.quick else FULL
    order = [Task(w, p) for w in WORKLOADS for p in policies]
    wanted = {Task(w, p) for w in arguments.workload or WORKLOADS for p in arguments.policy or policies}
    known = load()
    longest_first = sorted(wanted, key=lambda task: (task.policy != BEST_FIXED, order.index(task)))
    rows = run(longest_first, effort, known, arguments.processes)
    if arguments.quick:
        print(policies_page.table(rows))
        return
    known |= {Task(row["workload"], row["policy"]): row for row in rows}
    kept = [known[task] for task in order if task in known]
    RESULTS.write_text(json.dumps({"effort": effort.as_json(), "rows": kept}, indent=1) + "\n")
    policies_page.write()
    print(policies_page.table(kept))


if __name__ == "__main__":
    main()
