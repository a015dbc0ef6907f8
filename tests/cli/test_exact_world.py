"""Real beside simulated where steps take exactly as long as they should: over HTTP the same requests fare
as in simulation, so what a comparison finds is the machine's, not that of the two worlds.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from math import inf

import pytest

from headway.bench.comparison import rows, values
from headway.bench.load import Asked, play
from headway.bench.report import Answer
from headway.bench.workload import NAMED, SMALL, Arrival, prompt_ids
from headway.classes import read_classes
from headway.core.limits import Limits
from headway.core.memory import paged
from headway.core.policies import POLICIES
from headway.core.types import Batch
from headway.sim.judge import Judge
from headway.sim.simulate import Trial, run
from tests.server.scripted_engine import Scripted
from tests.server.scripted_server import scripted_server

promises = "chat:ttft=2s,itl=200ms;interactive:ttft=none,deadline=6s"
classes = read_classes(promises)
step_s, between_s, way_s = 0.05, 0.0015, 0.006  # of which the last two are about what this costs anywhere
limits = Limits(16, 64, 64, 16, 2048, 2048)
load, rate, seed, drain_s = replace(NAMED[SMALL], requests=60), 3.0, 1, 20.0
arrivals = [a._replace(max_tokens=a.output_tokens) for a in load.arrivals(rate, seed, inf)]


def simulated(policy: str) -> list[Answer]:
    def cost(batch: Batch) -> float:
        return step_s + between_s

    def way(arrival: Arrival) -> float:
        return way_s

    trial = Trial(load, classes, cost, paged, inf, arrivals[-1].at_s + drain_s, way=way)
    judge = Judge(arrivals, classes, inf, tolerated=1.0)
    run(trial, POLICIES[policy](), limits, arrivals, seed, judge)
    return judge.answers()


def over_http(policy: str) -> Sequence[Answer]:
    script = Scripted(step_s, max_model_len=2048, blocks=2048, faults=False, classes=promises, policy=policy)
    schedule = [
        Asked(a.at_s, a.service_class, prompt_ids(id, a), a.output_tokens) for id, a in enumerate(arrivals)
    ]
    with scripted_server(scripted=script) as server:
        horizon_s = arrivals[-1].at_s + drain_s
        return asyncio.run(play(schedule, server.url, horizon_s, model="byte-model")).answers


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["adaptive", "stall-free"])
def test_what_is_simulated_is_what_happens(policy: str) -> None:
    found = rows(rate, [values(over_http(policy), classes)], [values(simulated(policy), classes)])
    assert len(found) == 8
    assert [(row.name, row.real, row.simulated) for row in found if not row.within] == []
