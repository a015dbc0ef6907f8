"""The same tokens with several batches in flight while sequences give way and find their blocks again."""

from array import array

import pytest

from headway.core.types import Request, Sampling
from tests.models.tiny import VOCAB, prompt
from tests.same_answer.roads import Answers, Loaded, assert_same_answers, load_tiny, run_real
from tests.same_answer.test_roads import frames, limits

LENGTHS = [3, 17, 31, 40, 64, 80, 21, 12, 33, 48, 2, 100]


def asked(logprobs: int | None) -> list[Request]:
    """One to three choices of each prompt, greedy and sampled in turn."""
    return [
        Request(
            id,
            array("i", prompt(length)),
            Sampling(max_tokens=24, temperature=0.9 * (id % 2), seed=id, ignore_eos=True, logprobs=logprobs),
            0.0,
            choices=1 + id % 3,
        )
        for id, length in enumerate(LENGTHS)
    ]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Loaded:
    return load_tiny("llama-llama3", tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def alone(model) -> Answers:
    first, *rest = (run_real(model, [r], limits(prefix_cache=False)) for r in asked(VOCAB))
    for run in rest:
        first.tokens |= run.tokens
        first.logprobs |= run.logprobs
    return first


@pytest.mark.parametrize("policy", ["prefill-first", "decode-first", "stall-free"])
@pytest.mark.parametrize("depth", [2, 4])
def test_with_several_batches_in_flight_in_a_pool_so_small_that_sequences_give_way(
    model, alone, depth, policy
):
    small = limits(blocks=20, max_seqs=8, max_step_tokens=40)
    squeezed = run_real(model, asked(None), small, policy=policy, depth=depth)
    assert sum(frame.preemptions for frame in frames(squeezed)) > 0
    assert sum(frame.prefix_hit_tokens for frame in frames(squeezed)) > 0
    assert_same_answers(alone, squeezed)
