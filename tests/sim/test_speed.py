"""What a simulated token costs, in calls of functions: a floor that does not depend on the machine's mood.

`benchmarks/simulator_speed.py` has the seconds.
"""

from cProfile import Profile
from dataclasses import replace
from math import inf
from pstats import Stats

import pytest

from headway.bench.workload import CLASSES, WORKLOADS
from headway.core.limits import Limits
from headway.core.memory import paged
from headway.core.policies import POLICIES
from headway.sim.deployment import Deployment
from headway.sim.devices import A100_80
from headway.sim.meter import Meter
from headway.sim.models import MISTRAL_7B
from headway.sim.observe import observe
from headway.sim.simulate import Trial


@pytest.mark.parametrize(
    ("policy", "step_tokens", "most_calls"), [("stall-free", 512, 45), ("adaptive", 4096, 64)]
)
def test_a_token_costs_few_calls(policy: str, step_tokens: int, most_calls: int) -> None:
    deployment = Deployment(MISTRAL_7B, A100_80, step_tokens=step_tokens)
    limits = Limits(128, step_tokens, 10_000, 16, deployment.kv_blocks(16), 16_384)
    trial = Trial(replace(WORKLOADS["chat"], requests=60), CLASSES, Meter(deployment), paged, inf, inf)
    with Profile() as profile:
        run = observe(trial, POLICIES[policy](), limits, 4.0, 1)
    calls = Stats(profile).total_calls / run.totals.output_tokens  # type: ignore[attr-defined]
    assert calls < most_calls, f"{calls:.1f} calls a token"
