"""Pinned runs of the simulator: their figures, to the last digit, stand in `benchmarks/simulated-pins.json`.

    python benchmarks/simulated_pins.py           compare
    python benchmarks/simulated_pins.py --write   pin what comes out now; say in the commit why it changed

A test compares both ways: a figure that moved fails, for better or for worse.
"""

import argparse
import json
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

from headway.bench.workload import CLASSES, WORKLOADS
from headway.core.limits import Limits
from headway.core.memory import paged
from headway.core.policies import POLICIES
from headway.sim.deployment import Deployment
from headway.sim.devices import device
from headway.sim.faults import NO_FAULTS, Burst, Faults, Slow
from headway.sim.figures import figures
from headway.sim.meter import Meter
from headway.sim.models import model
from headway.sim.observe import observe
from headway.sim.simulate import Trial

PINS = Path(__file__).parent / "simulated-pins.json"
seed, block_size = 1, 16


class Pinned(NamedTuple):
    model: str
    device: str
    policy: str
    workload: str
    rate: float
    requests: int
    step_tokens: int = 512
    tp: int = 1
    pp: int = 1
    faults: Faults = NO_FAULTS


RUNS = {
    "mistral chat, stall-free": Pinned("Mistral-7B", "A100-80", "stall-free", "chat", 2.0, 60),
    "mistral mixed, adaptive": Pinned("Mistral-7B", "A100-80", "adaptive", "mixed", 2.5, 60, 4096),
    "yi on two, bursts": Pinned("Yi-34B", "A100-80", "adaptive", "bursty", 0.8, 40, 4096, tp=2),
    "llama-70b in a pipeline": Pinned("Llama2-70B", "A100-80", "stall-free", "chat", 0.5, 30, pp=4),
    "h100, faults": Pinned(
        "Llama3-8B", "H100", "adaptive", "mixed", 4.0, 60, 4096,
        faults=Faults((Slow(2.0, 4.0, 3.0),), None, 0.1, (Burst(5.0, 10),)),
    ),
}  # fmt: skip


def run(pinned: Pinned) -> dict[str, Any]:
    deployment = Deployment(
        model(pinned.model), device(pinned.device), pinned.tp, pinned.pp, step_tokens=pinned.step_tokens
    )
    blocks = deployment.kv_blocks(block_size)
    limits = Limits(128, pinned.step_tokens, 1_000_000, block_size, blocks, 16_384)
    load = replace(WORKLOADS[pinned.workload], requests=pinned.requests)
    trial = Trial(
        load, CLASSES, Meter(deployment), paged, inf, inf, deployment.depth, deployment.pp, pinned.faults
    )
    policy = POLICIES[pinned.policy]()
    hourly = deployment.dollars_per_hour
    return figures(observe(trial, policy, limits, pinned.rate, seed, dollars_per_hour=hourly))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--write", action="store_true", help="pin what comes out now")
    found = {name: run(pinned) for name, pinned in RUNS.items()}
    if parser.parse_args().write:
        PINS.write_text(json.dumps(found, indent=1) + "\n")
    pinned = json.loads(PINS.read_text())
    for name, now in found.items():
        print(f"{name:28} {'as pinned' if pinned.get(name) == now else 'CHANGED'}")


if __name__ == "__main__":
    main()
