"""From many settings to one: which are tried, which stay, what is measured."""

import pytest

from headway.tune.search import Score, Scored, best_first, finalists, largest_rate, refined, rough
from headway.tune.settings import USES, Tuned, grid, near, usual


def score(goodput: float, *, beyond: float = 0.0, completion: float = 1.0) -> Score:
    return Score(goodput, beyond, 1.0, completion)


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_no_step_is_too_short_for_every_sequences_token(use) -> None:
    entrants = grid(use)
    assert len(set(entrants)) == len(entrants) >= 12
    for each in [*entrants, *(n for e in entrants for n in near(e))]:
        assert each.budget >= each.max_seqs >= 1


def test_beside_settings_lie_half_and_twice_of_each_figure() -> None:
    found = list(near(Tuned("stall-free", 256, 64)))
    assert {(each.budget, each.max_seqs) for each in found if each.block_size == 16} == {
        (128, 64), (512, 64), (256, 32), (256, 128),
    }  # fmt: skip
    assert next(near(Tuned("stall-free", 64, 64))).budget == 128, "32 would be too few for 64"


def test_who_starves_what_has_no_promise_comes_behind_who_does_not() -> None:
    fair, unfair = Tuned("adaptive", 256, 64), Tuned("decode-first", 256, 64)
    ranked = best_first([Scored(unfair, score(9.0, completion=0.5)), Scored(fair, score(1.0))])
    assert ranked[0].tuned == fair


def test_of_those_that_do_equally_well_the_one_that_does_better_beyond_comes_first() -> None:
    first, second = Tuned("stall-free", 64, 4), Tuned("stall-free", 64, 8)
    ranked = best_first([Scored(first, score(1.0, beyond=0.9)), Scored(second, score(1.0, beyond=1.1))])
    assert ranked[0].tuned == second


def test_the_search_climbs_from_the_grid_to_the_best_that_lies_near() -> None:
    tried: list[tuple[Tuned, int]] = []

    def attempt(tuned: Tuned, rate: float, draws: int) -> Score:
        tried.append((tuned, draws))
        return score(10.0 - abs(tuned.budget - 512) / 100 - abs(tuned.max_seqs - 8) / 10)

    leaders = rough(grid(USES["chat"]), 1.0, attempt)
    found = refined(leaders, 1.0, attempt)
    assert (found[0].tuned.budget, found[0].tuned.max_seqs) == (512, 8) or found[0].score.goodput > 7.0
    assert found[0].score.goodput >= leaders[0].score.goodput
    assert {draws for _, draws in tried} == {1, 3}


def test_what_there_is_without_tuning_is_measured_too_and_blocks_alone_make_no_two_finalists() -> None:
    one = Tuned("stall-free", 128, 8)
    ranked = [Scored(one, score(2.0)), Scored(one._replace(block_size=64), score(2.0))]
    ranked.append(Scored(Tuned("prefill-first", 512, 8), score(1.0)))
    assert finalists(ranked, usual(), 2) == [one, Tuned("prefill-first", 512, 8), usual()]
    assert finalists(ranked, one, 1) == [one]


def test_the_rate_is_what_the_best_of_them_holds() -> None:
    holds = {Tuned("stall-free", 64, 4): 2.0, Tuned("adaptive", 256, 64): 3.0}

    def attempt(tuned: Tuned, rate: float, draws: int) -> Score:
        return Score(rate, rate, 0.97 if rate <= holds[tuned] else 0.5)

    assert largest_rate(list(holds), 1.0, attempt) == pytest.approx(3.0, rel=0.06)


def test_where_even_an_idle_machine_keeps_too_little_the_rate_is_what_costs_no_more() -> None:
    def attempt(tuned: Tuned, rate: float, draws: int) -> Score:
        return Score(rate, rate, 0.7 if rate <= 0.5 else 0.4)

    assert largest_rate([usual()], 1.0, attempt) == pytest.approx(0.5, rel=0.06)
