"""The simulated and the real executor lead the scheduler to the same decisions.

One batch in flight: with more, when a result is collected is a matter of time, and so what is planned next.
"""

from array import array
from random import Random

import pytest

from headway.clock import VirtualClock
from headway.core.limits import Limits
from headway.core.memory import MEMORY_RULES
from headway.core.policies import POLICIES
from headway.core.types import Request, Sampling
from headway.sim.executor import SimExecutor
from headway.sim.run import make_world
from tests.same_answer.roads import Answers, Loaded, load_tiny, run_real


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Loaded:
    return load_tiny("llama", tmp_path_factory.mktemp("tiny"))


def draw(seed: int) -> tuple[list[Request], Limits, str, str]:
    """A closed workload and the engine it meets."""
    random = Random(seed)
    policy, memory = list(POLICIES)[seed % 4], list(MEMORY_RULES)[seed % 3]
    limits = Limits(
        max_seqs=random.choice([2, 5, 8]),
        max_step_tokens=random.choice([5, 16, 64]),
        max_queued=100,
        block_size=random.choice([4, 16]),
        blocks=random.choice([8, 12, 40]) * (16 if memory == "reserved-context" else 4),
        max_model_len=96,
        prefix_cache=random.random() < 0.7,
    )
    requests = []
    for id in range(14):
        start = random.randint(0, 3)
        tokens = array("i", ((start + i) % 300 for i in range(random.randint(1, 60))))
        sampling = Sampling(
            random.randint(1, 30), temperature=random.choice([0.0, 1.0]), seed=id, stop_ids=(9,)
        )
        requests.append(Request(id, tokens, sampling, 0.0, choices=random.choice([1, 1, 2])))
    return requests, limits, policy, memory


def replay(real: Answers, requests, limits, policy, memory):
    """The same workload in the virtual world, where each sequence is given the tokens it really had."""
    known: dict[tuple[int, int], int] = {}
    for batch, result in zip(real.trace.batches, real.trace.results, strict=True):
        for slice, outcome in zip(batch.slices, result.outcomes, strict=True):
            for i, token in enumerate(outcome.tokens):
                known[slice.id, slice.start + slice.count + i] = token
    clock = VirtualClock()
    executor = SimExecutor(clock, lambda id, index: known[id, index])
    letters = [(0.0, request) for request in requests]
    return make_world(letters, limits, POLICIES[policy](), MEMORY_RULES[memory], clock, executor)


@pytest.mark.parametrize("seed", range(20))
def test_a_closed_workload_is_decided_alike_by_both(model, seed):
    requests, limits, policy, memory = draw(seed)
    real = run_real(model, requests, limits, policy=policy, memory=memory)
    world = replay(real, requests, limits, policy, memory)
    world.engine.run()
    assert len(real.trace.batches) > 3
    assert world.trace.digest() == real.trace.digest()
