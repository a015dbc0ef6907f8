"""How long the simulator takes: 2,048 requests on Mistral-7B and an A100-80, at a light and at a full load;
or a trace. Seconds of this process, and its largest memory.

    python benchmarks/simulator_speed.py
    python benchmarks/simulator_speed.py --trace FILE
"""

import argparse
from dataclasses import replace
from math import inf
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from time import perf_counter, process_time

from headway.bench.traces import Trace, read_trace
from headway.bench.workload import CLASSES, WORKLOADS, Load
from headway.core.limits import Limits
from headway.core.memory import paged
from headway.core.policies import POLICIES
from headway.sim.deployment import Deployment
from headway.sim.devices import A100_80
from headway.sim.meter import Meter
from headway.sim.models import MISTRAL_7B
from headway.sim.observe import Run, observe
from headway.sim.simulate import Trial

requests, max_seqs, block_size, max_model_len = 2048, 128, 16, 16_384
step_tokens = {"stall-free": 512, "adaptive": 4096}


def run(load: Load, policy: str, rate: float, seed: int = 1) -> Run:
    tokens = step_tokens[policy]
    deployment = Deployment(MISTRAL_7B, A100_80, step_tokens=tokens)
    blocks = deployment.kv_blocks(block_size)
    limits = Limits(max_seqs, tokens, 1_000_000, block_size, blocks, max_model_len)
    trial = Trial(load, CLASSES, Meter(deployment), paged, inf, inf)
    return observe(trial, POLICIES[policy](), limits, rate, seed)


def timed(name: str, load: Load, policy: str, rate: float) -> None:
    wall_s, cpu_s = perf_counter(), process_time()
    totals = run(load, policy, rate).totals
    wall_s, cpu_s = perf_counter() - wall_s, process_time() - cpu_s
    peak_mb = getrusage(RUSAGE_SELF).ru_maxrss / 1024
    words = f"{totals.output_tokens:9,} tokens in {totals.steps:7,} steps"
    print(
        f"{policy:11} {name:14} {words}: {wall_s:5.1f} s, {cpu_s:5.1f} s of CPU; {peak_mb:,.0f} MB",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trace", type=Path, help="who asked when")
    trace = parser.parse_args().trace
    for policy in step_tokens:
        if trace is not None:
            load: Trace = read_trace(trace)
            timed(trace.stem, load, policy, load.rate)
            continue
        chat = replace(WORKLOADS["chat"], requests=requests)
        for rate in (2.0, 20.0):
            timed(f"{rate:g} requests/s", chat, policy, rate)


if __name__ == "__main__":
    main()
