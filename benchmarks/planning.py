"""What a decision costs: `plan` + `commit` with their events, for many decoding sequences; memory of an
open request.

    python benchmarks/planning.py [--json]

Pure Python, one thread. Each figure is the median over the steps of a run in which all sequences decode,
some of them crossing a block's border in every step as they do in service; spread is the 5th and 95th
percentile.
"""

import argparse
import gc
import json
import statistics
import time
import tracemalloc
from array import array

from headway.core.limits import Limits
from headway.core.memory import paged
from headway.core.policies import POLICIES
from headway.core.scheduler import Scheduler
from headway.core.slo import ServiceClass
from headway.core.types import Batch, Outcome, Request, Result, Sampling

STEP_S = 0.01
EASY = ServiceClass(name="chat", ttft_p95_s=1000.0, itl_p95_s=10.0)  # every sequence is in every step
BOUNDS_US = {256: 700.0, 1024: 3000.0}


def make_scheduler(sequences: int, policy: str) -> Scheduler:
    limits = Limits(sequences, max(2048, sequences), 2 * sequences, 16, sequences * 64, 1024)
    return Scheduler(limits, POLICIES[policy](), paged, classes={"chat": EASY})


def request(id: int, prompt_tokens: int, max_tokens: int) -> Request:
    prompt = array("i", ((id * 31 + i) % 1000 for i in range(prompt_tokens)))
    return Request(id, prompt, Sampling(max_tokens=max_tokens, seed=id, stop_ids=(2,)), 0.0)


def result_of(batch: Batch, start_s: float) -> Result:
    outcomes = [Outcome(s.id, (5,)) if s.samples else Outcome(s.id) for s in batch.slices]
    return Result(batch.id, outcomes, start_s, start_s + STEP_S)


def time_steps(sequences: int, policy: str, steps: int) -> list[float]:
    """Microseconds of each pure decode step."""
    scheduler = make_scheduler(sequences, policy)
    for id in range(sequences):
        scheduler.add(request(id, 64 + id % 64, 512), 0.0)
    now = 0.0
    while scheduler.residency.waiting or any(s.remaining > 1 for s in scheduler.residency.running):
        batch = scheduler.plan(now).batch
        assert batch is not None
        scheduler.commit(result_of(batch, now))
        now += STEP_S
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        batch = scheduler.plan(now).batch
        planned = time.perf_counter()
        assert batch is not None
        assert len(batch.slices) == sequences
        result = result_of(batch, now)
        now += STEP_S
        begin = time.perf_counter()
        scheduler.commit(result)
        times.append((planned - start + time.perf_counter() - begin) * 1e6)
    return times


def bytes_per_request(requests: int, prompt_tokens: int) -> float:
    """Python memory of one open, running request with a prompt of so many tokens and half of 512 answered."""
    scheduler = make_scheduler(requests, "stall-free")
    gc.collect()
    tracemalloc.start()
    for id in range(requests):
        scheduler.add(request(id, prompt_tokens, 512), 0.0)
    for step in range(300):
        batch = scheduler.plan(step * STEP_S).batch
        assert batch is not None
        scheduler.commit(result_of(batch, step * STEP_S))
    gc.collect()
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return used / requests


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    arguments = parser.parse_args()
    results = []
    for policy in POLICIES:
        for sequences in (64, 256, 512, 1024):
            times = sorted(time_steps(sequences, policy, arguments.steps))
            median, low, high = statistics.median(times), times[len(times) // 20], times[-len(times) // 20]
            results.append({"policy": policy, "sequences": sequences, "median_us": round(median, 1)})
            bound = f"  (bound {BOUNDS_US[sequences]:.0f})" if sequences in BOUNDS_US else ""
            print(f"{policy:14} {sequences:5} sequences: {median:7.0f} us [{low:.0f}, {high:.0f}]{bound}")
    memory = bytes_per_request(200, 500)
    print(f"one open request, 500 prompt tokens: {memory / 1000:.1f} kB (bound 20)")
    if arguments.json:
        print(json.dumps({"results": results, "bytes_per_request": round(memory)}))


if __name__ == "__main__":
    main()
