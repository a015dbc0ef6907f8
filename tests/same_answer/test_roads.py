"""The same tokens by every road: alone or together, whole or chunked, pre-empted, from the prefix index,
under every policy and memory rule.
"""

from array import array

import pytest

from headway.core.limits import Limits
from headway.core.memory import MEMORY_RULES
from headway.core.policies import POLICIES
from headway.core.types import Request, Sampling, Stepped
from tests.models.tiny import VOCAB, prompt
from tests.same_answer.roads import Answers, Loaded, assert_same_answers, load_tiny, run_real

ROOMY = Limits(
    max_seqs=40, max_step_tokens=4096, max_queued=200, block_size=16, blocks=800, max_model_len=256
)
LENGTHS = [3, 5, 9, 16, 17, 31, 40, 64, 7, 80, 21, 12, 33, 48, 2, 100]


def limits(**changes) -> Limits:
    fields = {name: getattr(ROOMY, name) for name in Limits.__dataclass_fields__}
    return Limits(**(fields | changes))


def asked(sampling: Sampling) -> list[Request]:
    """32 requests: 16 prompts, each greedy once and once sampled with a seed of its own."""
    requests = []
    for id in range(32):
        tokens = array("i", prompt(LENGTHS[id % 16]))
        hot = {"temperature": 0.9, "top_p": 0.95, "seed": id, "logprobs": None} if id >= 16 else {}
        fields = {name: getattr(sampling, name) for name in Sampling.__dataclass_fields__}
        requests.append(Request(id, tokens, Sampling(**(fields | hot)), 0.0))
    return requests


GREEDY = Sampling(max_tokens=24, temperature=0.0, seed=0, logprobs=VOCAB, ignore_eos=True)
QUIET = Sampling(max_tokens=24, temperature=0.0, seed=0, ignore_eos=True)


@pytest.fixture(scope="module", params=["llama-llama3", "gemma3", "falcon-two-norms"])
def model(request, tmp_path_factory) -> Loaded:
    return load_tiny(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def alone(model) -> Answers:
    """Every request by itself, whole, in a large pool, without a prefix index: what all roads must equal."""
    runs = [run_real(model, [request], limits(prefix_cache=False)) for request in asked(GREEDY)]
    first = runs[0]
    for run in runs[1:]:
        first.tokens |= run.tokens
        first.logprobs |= run.logprobs
    return first


def frames(answers: Answers) -> list[Stepped]:
    return [event for event in answers.events if isinstance(event, Stepped)]


def test_in_a_batch_of_32(model, alone):
    together = run_real(model, asked(QUIET), ROOMY)
    assert max(frame.sequences for frame in frames(together)) == 32
    assert_same_answers(alone, together)


def test_in_chunks_of_seven(model, alone):
    chunked = run_real(model, asked(QUIET), limits(max_step_tokens=7))
    assert max(frame.tokens for frame in frames(chunked)) == 7
    assert_same_answers(alone, chunked)


@pytest.mark.parametrize("policy", POLICIES)
def test_in_a_pool_so_small_that_sequences_give_way(model, alone, policy):
    small = limits(blocks=20, max_seqs=8, prefix_cache=False)
    squeezed = run_real(model, asked(QUIET), small, policy=policy)
    assert sum(frame.preemptions for frame in frames(squeezed)) > 0
    assert_same_answers(alone, squeezed)


def test_after_a_prefix_hit(model, alone):
    again = [Request(r.id + 100, r.prompt, r.sampling, 0.0) for r in asked(QUIET)]
    one_at_a_time = limits(max_seqs=1)
    hit = run_real(model, asked(QUIET) + again, one_at_a_time)
    assert sum(frame.prefix_hit_tokens for frame in frames(hit)) > 1000
    second = Answers(
        {(id - 100, c): t for (id, c), t in hit.tokens.items() if id >= 100}, {}, {}, hit.trace, []
    )
    assert_same_answers(alone, second)


@pytest.mark.parametrize("memory", MEMORY_RULES)
@pytest.mark.parametrize("policy", POLICIES)
def test_under_every_policy_and_memory_rule(model, alone, policy, memory):
    answers = run_real(
        model, asked(QUIET), limits(blocks=70, max_step_tokens=50), policy=policy, memory=memory
    )
    assert_same_answers(alone, answers)


def test_with_two_batches_in_flight(model, alone):
    assert_same_answers(alone, run_real(model, asked(QUIET), limits(max_step_tokens=64), depth=2))


def test_choices_that_share_a_prompt_answer_as_if_they_did_not(model):
    hot = Sampling(max_tokens=12, temperature=1.0, seed=7, ignore_eos=True)
    request = Request(1, array("i", prompt(40)), hot, 0.0, choices=4)
    shared = run_real(model, [request], ROOMY)
    apart = run_real(model, [request], limits(prefix_cache=False))
    assert shared.tokens == apart.tokens
    assert len({tuple(tokens) for tokens in shared.tokens.values()}) == 4, "choices differ"
