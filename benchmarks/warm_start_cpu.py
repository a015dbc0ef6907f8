"""How near a forecast is from the first step on, with a profile of this machine and without.

    python benchmarks/warm_start_cpu.py [--model smollm2] [--profile FILE] [--repeat 5] [--json]    3 minutes

Requests of three classes arrive at an engine in this process, 20 to 600 tokens long; of its first steps
|actual / forecast - 1| is told. With and without take turns; both get the same requests.
"""

import argparse
import json
from array import array
from contextlib import closing
from random import Random
from statistics import median
from time import monotonic

from headway.cli.engine import spin_briefly
from headway.config import Settings
from headway.core.types import Request, Sampling
from headway.hub import resolve

count, rate, judged_steps, far_off = 16, 1.5, 50, 0.25


def first_steps(model: str, profile: str | None, seed: int) -> list[float]:
    """How far off each was."""
    from headway.cli.rig import Rig

    settings = Settings(model=model, profile=profile)
    random = Random(seed)
    with closing(Rig(settings, resolve(model), lambda phase, seconds: None)) as rig:
        at_s, requests = monotonic(), []
        for id in range(count):
            prompt = array("i", random.choices(range(rig.built.facts.vocab), k=random.randint(20, 600)))
            sampling = Sampling(max_tokens=random.randint(10, 80), seed=0, ignore_eos=True)
            name = random.choice(("chat", "interactive", "batch"))
            requests.append(Request(id, prompt, sampling, at_s, service_class=name))
            at_s += random.expovariate(rate)
        return [abs(step.step_s / step.forecast_s - 1) for step in rig.serve(requests)][:judged_steps]


def row(runs: list[list[float]]) -> dict[str, float]:
    every = sorted(off for run in runs for off in run)
    return {
        "median of the first step": median(run[0] for run in runs),
        "of the first 5": median(off for run in runs for off in run[:5]),
        f"of the first {judged_steps}": median(every),
        "their p95": every[int(0.95 * (len(every) - 1))],
        f"share off by more than {far_off:.0%}": sum(off > far_off for off in every) / len(every),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--profile", help="by default the one that calibrate left in the cache folder")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="the last line is everything as one JSON object")
    given = parser.parse_args()
    spin_briefly()
    found: dict[str, list[list[float]]] = {"none": [], "profile": []}
    for seed in range(given.repeat):
        for name, profile in (("none", "none"), ("profile", given.profile)):
            found[name].append(first_steps(given.model, profile, seed))
    rows = {name: row(runs) for name, runs in found.items()}
    for name, told in rows.items():
        print(f"{name:8}", ", ".join(f"{words} {share:.1%}" for words, share in told.items()))
    if given.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
