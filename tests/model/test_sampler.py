"""From logits to a token: every trick against its plain version, every rule against its definition."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headway.core.types import Sampling
from headway.model.ranking import leading, score
from headway.model.sampler import (
    Failure,
    Sampled,
    SequenceSampler,
    candidates,
    inverse_cdf,
    nucleus_floor,
    sample,
)

VOCAB = 3000


def logits(rows: int, seed: int = 0, spread: float = 2.0, vocab: int = VOCAB) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal((rows, vocab)) * spread).astype(np.float32)


def sequence(sampling: Sampling, prompt=(1, 2), output=(), choice: int = 0) -> SequenceSampler:
    tokens = np.array([*prompt, *output], dtype=np.int32)
    return SequenceSampler(sampling, choice, tokens, len(prompt))


def tokens_of(drawn: list[Sampled | Failure]) -> list[int]:
    assert all(isinstance(one, Sampled) for one in drawn)
    return [one.token for one in drawn]


def log_softmax(row: np.ndarray) -> np.ndarray:
    wide = row.astype(np.float64)
    return wide - wide.max() - math.log(np.exp(wide - wide.max()).sum())


# ---- drawing


def test_a_greedy_row_takes_the_likeliest_token_and_of_tied_ones_the_lowest() -> None:
    rows = logits(2, vocab=50)
    rows[0, [7, 30]] = 99.0
    expected = [7, int(rows[1].argmax())]
    assert tokens_of(sample(rows, [sequence(Sampling(temperature=0.0))] * 2)) == expected


@settings(max_examples=200, deadline=None)
@given(
    length=st.integers(1, 1200),
    seed=st.integers(0, 2**32),
    uniform=st.floats(0, 1 - 2**-52),
    zeros=st.floats(0, 0.95),
)
def test_the_blocked_inverse_equals_the_plain_running_sum(length, seed, uniform, zeros) -> None:
    random = np.random.default_rng(seed)
    # Multiples of 2**-10 add up without rounding, so the two must agree wherever the goal falls.
    weights = (random.integers(1, 1025, length) / 1024).astype(np.float32)
    weights[random.random(length) < zeros] = 0
    weights[random.integers(length)] = 1
    running = weights.cumsum(dtype=np.float64)
    assert inverse_cdf(weights, uniform) == running.searchsorted(uniform * running[-1], side="right")


@pytest.mark.parametrize("uniform", [0.0, 0.5, 1 - 2**-52])
def test_a_token_of_no_weight_is_never_drawn(uniform: float) -> None:
    weights = np.zeros(1000, dtype=np.float32)
    weights[[300, 301, 700]] = 0.1
    assert inverse_cdf(weights, uniform) in (300, 301, 700)


def test_tokens_come_as_often_as_the_softmax_says() -> None:
    draws, row = 20_000, logits(1, seed=3, spread=1.0, vocab=30)[0]
    counts = np.zeros(30)
    one = sequence(Sampling(seed=11, temperature=0.8))
    for _ in range(draws):
        (token,) = tokens_of(sample(row[None].copy(), [one]))
        counts[token] += 1
        one.append(token)
    expected = np.exp(log_softmax(row / np.float32(0.8))) * draws
    assert ((counts - expected) ** 2 / expected).sum() < 58.3  # 29 degrees of freedom, p = 0.001


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), data=st.data())
def test_a_rows_token_is_the_same_alone_and_in_any_batch(seed: int, data: st.DataObject) -> None:
    rules = [
        Sampling(seed=5),
        Sampling(seed=5, temperature=0.0),
        Sampling(seed=6, top_k=5),
        Sampling(seed=7, top_p=0.7, temperature=1.5),
        Sampling(seed=8, min_p=0.1, repetition_penalty=1.3),
        Sampling(seed=9, presence_penalty=1.0, logit_bias=((4, 3.0),)),
    ]
    rows, ours = logits(len(rules), seed), [sequence(rule, output=(4, 4, 9)) for rule in rules]
    alone = [tokens_of(sample(rows[i : i + 1].copy(), [ours[i]]))[0] for i in range(len(rules))]
    order = data.draw(st.permutations(range(len(rules))))
    assert tokens_of(sample(rows[order], [ours[i] for i in order])) == [alone[i] for i in order]


def test_a_sequence_that_is_held_anew_draws_what_it_would_have_drawn() -> None:
    sampling = Sampling(seed=4, temperature=1.3, frequency_penalty=0.7, repetition_penalty=1.2, min_tokens=6)
    whole, output = sequence(sampling), []
    for position in range(12):
        anew = sequence(sampling, output=output)
        row = logits(1, seed=position, vocab=40)
        (expected,) = tokens_of(sample(row.copy(), [whole]))
        assert tokens_of(sample(row, [anew])) == [expected]
        whole.append(expected)
        output.append(expected)
    assert len(set(output)) > 3


def test_choices_of_one_request_draw_different_tokens() -> None:
    rows = np.repeat(logits(1), 8, axis=0)
    drawn = tokens_of(sample(rows, [sequence(Sampling(seed=1), choice=choice) for choice in range(8)]))
    assert len(set(drawn)) > 4


# ---- the cuts


def plain_candidates(row: np.ndarray, sampling: Sampling) -> set[int]:
    """The three cuts by their definitions, one after another, over all tokens in order of their logits."""
    wide = row.astype(np.float64)
    weights = np.exp((wide - wide.max()) / sampling.temperature)
    kept = [int(id) for id in np.argsort(-wide, kind="stable") if weights[id] >= sampling.min_p]
    if sampling.top_k:
        kept = kept[: sampling.top_k]
    if sampling.top_p == 1.0:  # all: weights too small to be felt in a sum would end it early
        return set(kept)
    goal, held, nucleus = sampling.top_p * weights[kept].sum(), 0.0, []
    for id in kept:
        nucleus.append(id)
        held += weights[id]
        if held >= goal:
            break
    return set(nucleus)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    spread=st.sampled_from([0.3, 2.0, 6.0]),
    vocab=st.sampled_from([20, 65, 3000]),
    temperature=st.sampled_from([0.3, 1.0, 2.0]),
    min_p=st.sampled_from([0.0, 0.003, 0.2]),
    top_k=st.sampled_from([0, 1, 7, 40, 2000]),
    top_p=st.sampled_from([1.0, 0.999, 0.9, 0.5, 0.01]),
)
def test_the_cuts_keep_the_tokens_that_a_plain_reading_of_them_keeps(
    seed, spread, vocab, temperature, min_p, top_k, top_p
) -> None:
    sampling = Sampling(temperature=temperature, min_p=min_p, top_k=top_k, top_p=top_p)
    row = logits(1, seed, spread, vocab)[0]
    ids, weights = candidates(row, sampling)
    kept = set(range(vocab)) if ids is None else set(ids.tolist())
    expected = plain_candidates(row, sampling)
    if top_p == 1.0:
        assert kept == expected
    else:  # where sums end within rounding of the goal, a token of the border may go either way
        assert len(kept ^ expected) <= 1
    assert ids is None or all(a < b for a, b in pairwise(ids.tolist()))
    assert weights.max() == 1.0


def test_tokens_tied_at_a_border_are_in_together() -> None:
    row = np.array([1.0, 3.0, 2.0, 2.0, 0.0], dtype=np.float32)
    assert candidates(row, Sampling(top_k=2))[0].tolist() == [1, 2, 3]
    assert candidates(row, Sampling(top_p=0.7))[0].tolist() == [1, 2, 3]


@settings(max_examples=100, deadline=None)
@given(length=st.integers(1, 3000), count=st.integers(1, 200), seed=st.integers(0, 2**32), ties=st.booleans())
def test_the_leading_values_are_a_whole_prefix_of_the_sorted_row(length, count, seed, ties) -> None:
    values = logits(1, seed, vocab=length)[0]
    values = np.round(values) if ties else values
    ordered = np.sort(values)[::-1]
    found = leading(values, count)
    assert len(found) >= min(count, length)
    assert found.tolist() == ordered[: len(found)].tolist()
    assert len(found) == length or ordered[len(found)] < found[-1]


@pytest.mark.parametrize("spread", [0.1, 1.0, 3.0, 8.0])
@pytest.mark.parametrize("top_p", [0.01, 0.5, 0.9, 0.99, 0.9999])
def test_a_nucleus_however_wide_ends_where_a_full_sort_ends_it(spread: float, top_p: float) -> None:
    row = logits(1, spread=spread, vocab=20_000)[0]
    weights = np.exp(row - row.max())
    ordered = np.sort(weights)[::-1]
    held = ordered.cumsum(dtype=np.float64)
    assert nucleus_floor(weights, top_p) == ordered[held.searchsorted(top_p * held[-1])]


# ---- before the temperature


def test_penalties_follow_their_formulas_and_count_what_has_been_appended() -> None:
    sampling = Sampling(temperature=0.0, repetition_penalty=1.5, frequency_penalty=0.25, presence_penalty=0.5)
    row = logits(1, vocab=60)[0]
    one, output = sequence(sampling, prompt=(3, 3, 8), output=(8,)), [8]
    for token in [*range(20, 50), 8, 21, 21]:
        one.append(token)
        output.append(token)
    expected = row.astype(np.float64)
    for id in {3, 8, *output}:
        expected[id] = expected[id] / 1.5 if expected[id] > 0 else expected[id] * 1.5
        expected[id] -= 0.25 * output.count(id) + 0.5 * (id in output)
    one.edit(row)
    np.testing.assert_allclose(row, expected, rtol=1e-5)


def test_logit_bias_is_added_to_its_tokens_alone() -> None:
    row = logits(1, vocab=20)[0]
    expected = row.copy()
    expected[[2, 7]] += np.array([5.0, -100.0], dtype=np.float32)
    sequence(Sampling(temperature=0.0, logit_bias=((2, 5.0), (7, -100.0)))).edit(row)
    np.testing.assert_array_equal(row, expected)


def test_no_stop_id_is_sampled_before_min_tokens() -> None:
    row = np.zeros((1, 10), dtype=np.float32)
    row[0, [4, 6]] = 50.0, 40.0
    one = sequence(Sampling(temperature=0.0, stop_ids=(4,), min_tokens=2))
    seen = []
    for _ in range(4):
        seen += tokens_of(sample(row.copy(), [one]))
        one.append(seen[-1])
    assert seen == [6, 6, 4, 4]


# ---- failures


@pytest.mark.parametrize("spoil", [math.nan, math.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_not_finite_fail_their_own_row_and_no_other(spoil: float, temperature: float) -> None:
    rows = logits(3)
    sampling = Sampling(seed=1, temperature=temperature)
    expected = tokens_of(sample(rows.copy(), [sequence(sampling)] * 3))
    rows[1, 77] = spoil
    first, failed, last = sample(rows, [sequence(sampling)] * 3)
    assert isinstance(failed, Failure)
    assert tokens_of([first, last]) == [expected[0], expected[2]]


def test_a_row_in_which_every_token_is_masked_fails() -> None:
    one = sequence(Sampling(seed=1, stop_ids=tuple(range(5)), min_tokens=1))
    (failed,) = sample(np.zeros((1, 5), dtype=np.float32), [one])
    assert isinstance(failed, Failure)


# ---- log-probabilities


def test_logprobs_are_of_the_raw_logits_whatever_the_processing() -> None:
    row = logits(1)[0]
    expected = log_softmax(row)
    sampling = Sampling(seed=2, temperature=0.3, top_k=3, logprobs=4, logit_bias=((17, 60.0),))
    (drawn,) = sample(row[None].copy(), [sequence(sampling)])
    assert drawn.token == drawn.logprob.token == 17
    assert drawn.logprob.logprob == pytest.approx(expected[17], abs=1e-5)
    best = np.argsort(-row, kind="stable")[:4].tolist()
    assert [id for id, _ in drawn.logprob.top] == best
    assert [logprob for _, logprob in drawn.logprob.top] == pytest.approx(expected[best], abs=1e-5)


def test_alternatives_are_best_first_and_ties_go_to_the_lowest_id() -> None:
    row = np.array([0.0, 2.0, 1.0, 2.0, 1.0, 1.0], dtype=np.float32)
    assert [id for id, _ in score(row, 0, 4).top] == [1, 3, 2, 4]


def test_none_asked_for_gives_the_tokens_own_logprob_and_too_many_gives_the_vocabulary() -> None:
    row = logits(1, vocab=5)[0]
    assert score(row, 2, 0).top == ()
    assert len(score(row, 2, 50).top) == 5


def test_a_row_that_is_no_distribution_has_no_score() -> None:
    row = logits(1, vocab=5)[0]
    for spoil in (math.nan, math.inf):
        row[3] = spoil
        assert score(row, 0, 2) is None
