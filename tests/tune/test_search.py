"""From many settings to one: which are tried, which stay, what is measured, who is best."""

import pytest

from headway.bench.fields import BadWorkload
from headway.tune.search import (
    Score,
    Scored,
    best_first,
    chosen,
    finalists,
    largest_rate,
    refined,
    rough,
)
from headway.tune.settings import USES, Tuned, grid, near, usual

small, large = Tuned("stall-free", 64, 4), Tuned("adaptive", 256, 64)


def score(goodput: float, *, beyond: float = 0.0, completion: float = 1.0) -> Score:
    return Score(goodput, 1.0, completion, beyond)


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_step_has_room_for_every_sequences_token_and_what_there_is_untuned_is_among_them(use) -> None:
    entrants = grid(use)
    assert len(set(entrants)) == len(entrants) >= 12
    assert usual() in entrants
    for each in [*entrants, *(n for e in entrants for n in near(e))]:
        assert each.budget >= each.max_seqs >= 1


def test_beside_settings_lie_half_and_twice_of_each_figure() -> None:
    found = list(near(Tuned("stall-free", 256, 64)))
    assert {each[1:3] for each in found} == {(128, 64), (512, 64), (256, 32), (256, 128)}
    assert {each[1:3] for each in near(Tuned("stall-free", 64, 64))} == {(128, 64), (64, 32)}


def test_who_starves_what_has_no_promise_comes_behind_who_does_not() -> None:
    ranked = best_first([Scored(small, score(9.0, completion=0.5)), Scored(large, score(1.0))])
    assert ranked[0].tuned == large


def test_what_becomes_of_more_requests_counts_as_much_as_the_rate_itself() -> None:
    ranked = best_first([Scored(small, score(1.01, beyond=0.5)), Scored(large, score(1.0, beyond=1.1))])
    assert ranked[0].tuned == large


def test_the_search_climbs_from_the_grid_to_the_best_that_lies_near() -> None:
    draws_of: dict[Tuned, set[int]] = {}

    def attempt(tuned: Tuned, rate: float, draws: int) -> Score:
        draws_of.setdefault(tuned, set()).add(draws)
        return score(10.0 - abs(tuned.budget - 512) / 100 - abs(tuned.max_seqs - 8) / 10)

    leaders = rough(grid(USES["chat"]), 1.0, attempt)
    assert leaders[0].tuned[1:3] != (512, 8)
    found = refined(leaders, 1.0, attempt)
    assert (found[0].tuned[1:3], found[0].score.goodput) == ((512, 8), 10.0)
    assert draws_of[leaders[0].tuned] == {1, 2}
    assert draws_of[leaders[-1].tuned] == {1}, "the last of the first are left behind"


def test_what_there_is_without_tuning_is_measured_too() -> None:
    ranked = [Scored(small, score(2.0)), Scored(small._replace(budget=128), score(1.0))]
    assert finalists(ranked, usual(), 1) == [small, usual()]
    assert finalists(ranked, small, 2) == [small, small._replace(budget=128)]


def test_of_those_that_measure_alike_the_best_predicted_is_chosen() -> None:
    predicted = {small: score(2.0), large: score(3.0)}
    near_by = [Scored(small, score(1.00)), Scored(large, score(0.98))]
    assert chosen(near_by, predicted) == large
    far = [Scored(small, score(1.00)), Scored(large, score(0.90))]
    assert chosen(far, predicted) == small


def test_the_rate_is_what_the_best_of_them_holds() -> None:
    holds = {small: 2.0, large: 3.0}

    def attempt(tuned: Tuned, rate: float, draws: int) -> Score:
        return Score(rate, 0.97 if rate <= holds[tuned] else 0.5)

    assert largest_rate(list(holds), 1.0, attempt) == pytest.approx(3.0, rel=0.06)


def test_where_even_an_idle_machine_keeps_too_little_the_rate_is_what_costs_no_more() -> None:
    def attempt(tuned: Tuned, rate: float, draws: int) -> Score:
        return Score(rate, 0.7 if rate <= 0.5 else 0.4)

    assert largest_rate([usual()], 1.0, attempt) == pytest.approx(0.5, rel=0.06)


@pytest.mark.parametrize(
    ("always", "said"),
    [
        (Score(1.0, 0.0), "an idle machine keeps these promises for nobody"),
        (Score(1.0, 1.0, 0.5), "an idle machine keeps these promises for nobody"),
        (Score(1.0, 1.0), "the promises hold however many ask"),
    ],
)
def test_promises_that_no_rate_or_every_rate_keeps_say_nothing_of_settings(always: Score, said: str) -> None:
    with pytest.raises(BadWorkload, match=said):
        largest_rate([usual()], 1.0, lambda tuned, rate, draws: always)
