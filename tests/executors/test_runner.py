"""One step after another on the calling thread: what is held, what comes out, whose failure is whose."""

import pytest
import torch

from headway.core.types import Outcome, Sampling, Slice
from headway.model.ranking import score
from tests.executors.driver import Driver, tokens_of
from tests.executors.hashing_model import POISON, VOCAB, HashingModel, next_logits

GREEDY = Sampling(temperature=0.0, max_tokens=20)
EVERY_RULE = Sampling(
    seed=3, temperature=1.4, top_k=30, top_p=0.95, max_tokens=20, frequency_penalty=0.5,
    repetition_penalty=1.3, logit_bias=((5, 1.0),), min_tokens=10, stop_ids=(6, 7), logprobs=2,
)  # fmt: skip
PROMPT = [3, 9, 27, 31, 43, 29, 37, 11, 33, 49, 47]


def plainly(prompt: list[int], count: int) -> list[int]:
    """Greedy tokens without cache, blocks or batches."""
    tokens = list(prompt)
    for _ in range(count):
        tokens.append(int(next_logits(tokens).argmax()))
    return tokens[len(prompt) :]


@pytest.mark.parametrize("chunk", [1000, 7, 4, 1])
def test_tokens_are_those_of_the_model_read_plainly_in_chunks_of_any_size(chunk: int) -> None:
    outcomes = Driver().generate(0, PROMPT, GREEDY, chunk)
    assert tokens_of(outcomes) == plainly(PROMPT, 20)
    assert len(set(tokens_of(outcomes))) > 8


def test_only_the_chunk_that_reaches_the_last_known_token_gives_one() -> None:
    driver = Driver()
    driver.join(5, PROMPT, GREEDY)
    assert driver.step(Slice(5, 0, 6, samples=False)) == [Outcome(5)]
    assert driver.step(Slice(5, 6, 5, samples=True)) == [Outcome(5, tuple(plainly(PROMPT, 1)))]


@pytest.mark.parametrize("sampling", [GREEDY, EVERY_RULE])
def test_a_sequence_gives_the_same_alone_and_among_others_that_come_and_go(sampling: Sampling) -> None:
    alone = Driver().generate(0, PROMPT, sampling)
    driver = Driver()
    driver.join(1, [20, 21], EVERY_RULE)
    driver.step(Slice(1, 0, 2, samples=True))
    driver.join(0, PROMPT, sampling)
    driver.join(2, PROMPT[:5], GREEDY)
    outcomes = [driver.step(Slice(1, 2, 1, True), Slice(0, 0, 11, True), Slice(2, 0, 3, False))[1]]
    for i in range(11, 30):
        if i == 20:
            driver.leave(1)
        others = [] if i >= 20 else [Slice(1, i - 8, 1, samples=True)]
        outcomes.append(driver.step(*others, Slice(0, i, 1, samples=True))[-1])
    assert outcomes == alone


@pytest.mark.parametrize("sampling", [GREEDY, EVERY_RULE])
@pytest.mark.parametrize("lost_at", [1, 9, 19])
def test_a_sequence_that_was_preempted_goes_on_as_if_it_never_was(sampling: Sampling, lost_at: int) -> None:
    expected = Driver().generate(0, PROMPT, sampling)
    driver = Driver()
    driver.join(0, PROMPT, sampling)
    outcomes = driver.step(Slice(0, 0, 11, samples=True))
    for i in range(lost_at - 1):
        outcomes += driver.step(Slice(0, 11 + i, 1, samples=True))
    driver.leave(0)
    known = PROMPT + tokens_of(outcomes)
    driver.join(0, known, sampling, prompt_tokens=len(PROMPT))
    driver.step(Slice(0, 0, 4, samples=False))
    outcomes += driver.step(Slice(0, 4, len(known) - 4, samples=True))
    for i in range(len(known), 30):
        outcomes += driver.step(Slice(0, i, 1, samples=True))
    assert outcomes == expected


def test_a_prefix_that_another_sequence_computed_need_not_be_computed_again() -> None:
    driver = Driver()
    driver.join(0, PROMPT, GREEDY)
    driver.step(Slice(0, 0, 11, samples=True))
    shared = driver._blocks[0][:2]
    driver.join(1, [*PROMPT[:8], 40], GREEDY)
    joined = driver._joined.pop()
    driver._joined.append(joined._replace(tables=((*shared, joined.tables[0][2]),)))
    assert tokens_of(driver.step(Slice(1, 8, 1, samples=True))) == plainly([*PROMPT[:8], 40], 1)


def test_a_sequence_that_ended_and_is_computed_on_is_surplus_and_harms_nobody() -> None:
    driver = Driver()
    outcomes = driver.generate(0, PROMPT, GREEDY)
    (beyond,) = driver.step(Slice(0, 30, 1, samples=True))
    assert tokens_of([*outcomes, beyond]) == plainly(PROMPT, 21)


# ---- log-probabilities of the prompt


@pytest.mark.parametrize(("chunk", "slab_rows"), [(1000, 128), (4, 128), (1, 128), (1000, 3), (6, 1)])
def test_every_prompt_token_but_the_first_is_scored_over_chunks_and_slabs(chunk: int, slab_rows: int) -> None:
    sampling = Sampling(temperature=0.0, max_tokens=3, prompt_logprobs=2)
    outcomes = Driver(slab_rows=slab_rows).generate(0, PROMPT, sampling, chunk)
    scores = [one for outcome in outcomes for one in outcome.prompt_logprobs]
    expected = [score(next_logits(PROMPT[:i]).numpy(), PROMPT[i], 2) for i in range(1, len(PROMPT))]
    assert scores == expected
    assert tokens_of(outcomes) == plainly(PROMPT, 3)


def test_a_chunks_last_row_scores_the_next_chunks_first_token() -> None:
    driver = Driver()
    driver.join(0, PROMPT, Sampling(temperature=0.0, prompt_logprobs=0))
    (first,) = driver.step(Slice(0, 0, 4, samples=False))
    (second,) = driver.step(Slice(0, 4, 7, samples=True))
    assert [one.token for one in first.prompt_logprobs] == PROMPT[1:5]
    assert [one.token for one in second.prompt_logprobs] == PROMPT[5:]


def test_nobody_else_is_scored_in_a_batch_with_one_that_is() -> None:
    driver = Driver()
    driver.join(0, PROMPT, GREEDY)
    driver.join(1, PROMPT, Sampling(temperature=0.0, prompt_logprobs=1))
    driver.join(2, [8], Sampling(temperature=0.0, prompt_logprobs=1))
    plain, scored, short = driver.step(Slice(0, 0, 11, True), Slice(1, 0, 11, True), Slice(2, 0, 1, True))
    assert plain.tokens == scored.tokens
    assert (len(plain.prompt_logprobs), len(scored.prompt_logprobs), len(short.prompt_logprobs)) == (0, 10, 0)


# ---- failures


def test_one_sequences_bad_logits_fail_it_and_leave_the_others_as_they_were() -> None:
    driver = Driver()
    for id, prompt in enumerate(([4, 5], [POISON, 5], [6, 7])):
        driver.join(id, prompt, GREEDY)
    first, failed, last = driver.step(*(Slice(id, 0, 2, samples=True) for id in range(3)))
    assert failed.failure == "the model's logits are not finite"
    assert failed.tokens == ()
    assert (first.tokens[0], last.tokens[0]) == (plainly([4, 5], 1)[0], plainly([6, 7], 1)[0])


def test_a_sequence_that_failed_is_not_computed_again_and_fails_until_it_is_gone() -> None:
    model = HashingModel()
    driver = Driver(model)
    driver.join(0, [POISON], GREEDY)
    driver.step(Slice(0, 0, 1, samples=True))
    (again,) = driver.step(Slice(0, 1, 1, samples=True))
    assert again.failure is not None
    assert model.steps == [1]
    driver.leave(0)
    driver.join(0, PROMPT, GREEDY)
    assert tokens_of(driver.step(Slice(0, 0, 11, samples=True))) == plainly(PROMPT, 1)


def test_a_prompt_that_cannot_be_scored_fails_its_sequence() -> None:
    driver = Driver()
    driver.join(0, [4, POISON, 5, 6], Sampling(temperature=0.0, prompt_logprobs=1))
    (failed,) = driver.step(Slice(0, 0, 3, samples=False))
    assert failed.failure is not None
    assert failed.prompt_logprobs == ()


def test_a_slice_over_tokens_that_nobody_knows_is_our_fault_and_stops_the_step() -> None:
    driver = Driver()
    driver.join(0, [4, 5], GREEDY)
    with pytest.raises(AssertionError, match="not known"):
        driver.step(Slice(0, 0, 3, samples=True))


def test_the_fake_model_tells_contexts_apart() -> None:
    """What the tests above lean on: another order, another token, another length give other logits."""
    contexts = [[1, 2, 3], [2, 1, 3], [1, 2, 4], [1, 2]]
    said = [next_logits(context) for context in contexts]
    assert all(not torch.equal(a, b) for i, a in enumerate(said) for b in said[:i])
    assert len(said[0]) == VOCAB
    assert HashingModel().steps == []
