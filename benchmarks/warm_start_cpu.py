"""How near a forecast is from the first step on, with a profile of this machine and without.

    python benchmarks/warm_start_cpu.py [--model smollm2] [--profile FILE] [--repeat 3] [--json]    1 minute

Prompts of 20 to 600 tokens are handed in at once to an engine in this process; of its first 5 to 50 steps the
median of |actual / forecast - 1| is told. With and without take turns; both get the same prompts.
"""

import argparse
import json
from array import array
from contextlib import closing
from random import Random
from statistics import median

from headway.cli.engine import spin_briefly
from headway.config import Settings
from headway.core.types import Stepped
from headway.hub import resolve

prompts, output_tokens, judged_steps = 16, 40, 50


def first_steps(model: str, profile: str | None, seed: int) -> list[Stepped]:
    from headway.cli.rig import Rig

    settings = Settings(model=model, profile=profile)
    random = Random(seed)
    with closing(Rig(settings, resolve(model), lambda phase, seconds: None)) as rig:
        vocab = rig.built.facts.vocab
        asked = [array("i", random.choices(range(vocab), k=random.randint(20, 600))) for _ in range(prompts)]
        return rig.serve(asked, output_tokens)[:judged_steps]


def off(steps: list[Stepped]) -> list[float]:
    return [abs(step.step_s / step.forecast_s - 1) for step in steps]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--profile", help="by default the one that calibrate left in the cache folder")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="the last line is everything as one JSON object")
    given = parser.parse_args()
    spin_briefly()
    found: dict[str, list[list[float]]] = {"none": [], "profile": []}
    for seed in range(given.repeat):
        for name, profile in (("none", "none"), ("profile", given.profile)):
            found[name].append(off(first_steps(given.model, profile, seed)))
    rows = {}
    for name, runs in found.items():
        rows[name] = {str(n): median(each for run in runs for each in run[:n]) for n in (5, 10, 20, 50)}
        words = ", ".join(f"{share:.1%} of the first {n}" for n, share in rows[name].items())
        print(f"{name:8} median error {words}")
    if given.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
