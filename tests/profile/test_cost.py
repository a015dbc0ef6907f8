"""The formula of a step's time: by hand, as terms times factors, and how long it takes itself."""

import time

import pytest

from headway.core.types import Slice
from headway.profile.cost import Factors, as_factors, cost_of, terms, work_of
from tests.profile.made_up import FACTORS

cost = cost_of(FACTORS)


def slices(*each: tuple[int, int, bool]) -> list[Slice]:
    return [Slice(id, *one) for id, one in enumerate(each)]


def flat(factors: Factors) -> list[float]:
    return [value for part in factors for value in (part if isinstance(part, tuple) else (part,))]


def test_a_single_decode_by_hand() -> None:
    assert cost(slices((99, 1, True))) == pytest.approx(10e-3 + 4e-3 + 0.1e-3 + 100 * 1e-6)


def test_a_chunk_that_samples_nothing_by_hand() -> None:
    pairs = 3 * 50 + 1 + 2 + 3
    own = 0.4e-3 + 0.3e-6 * pairs + 2e-6 * 53
    assert cost(slices((50, 3, False))) == pytest.approx(10e-3 + 3e-3 + 2e-3 + 0.1e-3 + own)


def test_decodes_beside_a_chunk_by_hand() -> None:
    tokens = 10e-3 + 3e-3 + 2 * 2e-3 + 1.5e-3  # five of them
    chunk = 0.4e-3 + 0.3e-6 * 6 + 2e-6 * 3
    head = 4e-3 + 2 * 0.2e-3  # three rows
    found = cost(slices((63, 1, True), (9, 1, True), (0, 3, True)))
    assert found == pytest.approx(tokens + chunk + head + 3 * 0.1e-3 + 74 * 1e-6)


@pytest.mark.parametrize("tokens", [1, 2, 3, 8, 9, 500, 1024, 1025, 3000])
def test_it_is_what_the_terms_say(tokens: int) -> None:
    work = slices((7, tokens, tokens % 2 == 0), *[(40 + i, 1, True) for i in range(tokens % 50)])
    by_terms = sum(f * t for f, t in zip(flat(FACTORS), terms(work_of(work)), strict=True))
    assert cost(work) == pytest.approx(by_terms)


def test_factors_stand_in_the_order_of_the_terms() -> None:
    assert as_factors(flat(FACTORS)) == FACTORS


def test_a_hundred_slices_are_told_quickly() -> None:
    work = tuple(slices(*[(500 + i, 1, True) for i in range(99)], (0, 64, True)))
    took_s = []
    for _ in range(200):
        start_s = time.perf_counter()
        cost(work)
        took_s.append(time.perf_counter() - start_s)
    assert min(took_s) < 25e-6
