"""The executor that holds lengths answers as the one that holds tokens."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from headway.bench.workload import CLASSES, WORKLOADS, Arrival, request
from headway.clock import VirtualClock
from headway.core.limits import Limits
from headway.core.memory import paged
from headway.core.policies import POLICIES
from headway.sim.executor import LinearCost
from headway.sim.run import World, make_world
from headway.sim.scripted import LengthsExecutor, ScriptedExecutor

roomy = Limits(32, 512, 1000, 16, 4000, 16_384, prefix_cache=False)
tight = replace(roomy, blocks=700)


def world(
    kind: type[LengthsExecutor], arrivals: Sequence[Arrival], policy: str, limits: Limits, depth: int
) -> World:
    clock = VirtualClock()
    cost = LinearCost(0.005, 0.00003)
    executor = kind(clock, cost, arrivals, depth=depth, exclusive=depth > 1, stages=depth)
    letters = [(a.at_s, request(id, a)) for id, a in enumerate(arrivals)]
    return make_world(letters, limits, POLICIES[policy](), paged, clock, executor, CLASSES)


@pytest.mark.parametrize("policy", ["stall-free", "adaptive", "prefill-first"])
@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("limits", [roomy, tight])
def test_lengths_alone_give_the_same_decisions_and_events_as_tokens(
    policy: str, depth: int, limits: Limits
) -> None:
    arrivals = list(WORKLOADS["mixed"].arrivals(5.0, 3, 5.0))
    worlds = [world(kind, arrivals, policy, limits, depth) for kind in (LengthsExecutor, ScriptedExecutor)]
    for each in worlds:
        each.engine.run()
    quick, plain = worlds
    assert len(plain.log.events) > 4000
    assert quick.log.events == plain.log.events
    assert quick.trace.batches == plain.trace.batches
