"""Far beyond capacity a class that refuses keeps its word to whom it lets in, and tells the others when."""

import pytest

from tests.sim.returning import CLASS, Ask, capacity, goodput, run

SEEDS = range(6)


def surge(at_s: float) -> float:
    """Twenty seconds at three times capacity, then a calm."""
    return 3.0 * capacity if at_s < 20.0 else 0.7 * capacity


@pytest.fixture(scope="module", params=SEEDS)
def asks(request: pytest.FixtureRequest) -> list[Ask]:
    return run(surge, request.param, 100.0)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_surge_costs_at_most_a_tenth_of_goodput(seed: int) -> None:
    calm = run(lambda at_s: capacity, seed, 40.0)
    assert goodput(run(surge, seed, 40.0), 0.0, 20.0) >= 0.9 * goodput(calm, 5.0, 40.0)


def test_of_those_who_come_again_when_told_four_in_five_are_let_in(asks: list[Ask]) -> None:
    retries = [ask for ask in asks if ask.retries]
    assert len(retries) > 100
    assert sum(ask.accepted for ask in retries) >= 0.8 * len(retries)


def test_who_is_let_in_is_in_time(asks: list[Ask]) -> None:
    accepted = [ask for ask in asks if ask.accepted]
    assert sum(ask.good for ask in accepted) >= 0.9 * len(accepted)


def test_everyone_gets_one_verdict_and_whoever_is_let_in_an_end(asks: list[Ask]) -> None:
    for ask in asks:
        assert ask.accepted == (ask.refused is None)
        assert ask.accepted == (ask.ended is not None)


def test_nobody_waits_longer_than_its_class_allows(asks: list[Ask]) -> None:
    assert CLASS.max_wait_s is not None
    a_step_s = 0.5
    assert all(ask.stamps[0] - ask.at_s <= CLASS.max_wait_s + a_step_s for ask in asks if ask.stamps)
