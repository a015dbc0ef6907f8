"""The comparison on a CPU: who is raced and compared, and that no trial is made twice. No server runs."""

from pathlib import Path

import pytest
from cpu_trials import Wanted, pooled
from cpu_world import Configuration
from policies_cpu import (
    BEST_FIXED,
    FIXED,
    LINE_UP,
    compare,
    find_capacity,
    found,
    line_up,
    options,
    race,
    search,
    standing,
)

from headway.config import POLICY_NAMES
from tests.benchmarks.made_up import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_worse_leave_a_race_heat_by_heat() -> None:
    asked: list[tuple[int, int]] = []

    def rank(entrant: int, heat: int) -> int:
        asked.append((heat, entrant))
        return -abs(entrant - 6)

    assert race(range(1, 9), rank, (4, 2, 1)) == [6]
    assert [entrant for heat, entrant in asked if heat == 1] == [6, 5, 7, 4]
    assert len(asked) == 8 + 4 + 2


def test_the_search_finds_the_best_fixed_one_and_its_capacity(world: World) -> None:
    book = world.book()
    best = search(book, 2.2, 40.0)
    assert best == Configuration("stall-free", 512, 64)
    assert find_capacity(book, best, 1.4, 40.0) == pytest.approx(2.1, rel=0.1)
    assert len([w for w in world.made if w.stage == "search"]) == len(FIXED) + 4 + 2 + 3
    assert len([w for w in world.made if w.stage == "capacity"]) <= 6


def test_nothing_that_stands_in_the_book_is_measured_again(world: World) -> None:
    search(world.book(), 2.2, 40.0)
    made = len(world.made)
    assert search(world.book(), 2.2, 40.0) == Configuration("stall-free", 512, 64)
    assert len(world.made) == made


def test_a_trial_with_a_late_client_is_made_again_and_not_used(world: World) -> None:
    wanted = Wanted("compare", LINE_UP["aimd"], 1.0, 1, 40.0)
    world.late_client = 1
    assert world.book().trial(wanted)["valid"]
    assert len(world.book().rows) == 2
    world.book().trial(wanted)
    assert len(world.made) == 2


def test_what_leaves_batch_undone_ranks_behind_what_does_not(world: World) -> None:
    row = world.measure(Wanted("search", FIXED[0], 1.0, 1, 10.0))
    starving = {**row, "goodput": 9.0, "completion": 0.5}
    assert standing(pooled([row])) > standing(pooled([starving]))


def test_trials_are_pooled_by_how_long_they_were(world: World) -> None:
    short = world.measure(Wanted("search", FIXED[0], 1.0, 1, 10.0))
    long = {**short, "seconds": 30.0, "goodput": 2.0, "completion": 0.6}
    assert pooled([short, long]).goodput == pytest.approx(1.75)
    assert pooled([short, long]).completion == pytest.approx(0.7)
    assert pooled([short, long]).attainment == 1.0


def test_all_take_turns_and_the_first_two_in_every_round(world: World) -> None:
    entrants = line_up(["adaptive", BEST_FIXED, "static"], FIXED[1])
    compare(world.book(), entrants, 2.0, 3, 40.0)
    names = {c: name for name, c in entrants.items()}
    order = [(w.seed, w.rate, names[w.configuration]) for w in world.made]
    assert order[:4] == [
        (1, 1.4, "adaptive"),
        (1, 1.4, "best-fixed"),
        (1, 1.4, "static"),
        (1, 2.0, "adaptive"),
    ]
    assert order[9:13] == [
        (2, 1.4, "best-fixed"),
        (2, 1.4, "adaptive"),
        (2, 2.0, "best-fixed"),
        (2, 2.0, "adaptive"),
    ]
    assert len(order) == 9 + 6 + 6


def test_all_of_it_ends_with_a_comparison_of_everyone(world: World) -> None:
    result = found(world.book(), options(["--rounds", "2", "--own", "--rate", "1.7"]))
    assert result["fixed"] == Configuration("stall-free", 512, 64)._asdict()
    assert 0 < result["own_capacity"] < result["capacity"]
    rounds = {(line["factor"], line["policy"]): len(line["goodput"]) for line in result["compared"]}
    assert len(rounds) == 3 * (len(LINE_UP) + 1)
    assert (rounds[1.0, "adaptive"], rounds[1.0, BEST_FIXED], rounds[1.0, "aimd"]) == (2, 2, 1)


def test_a_stage_ends_where_it_says_and_what_is_given_is_not_looked_for(world: World) -> None:
    given = options(["--stage", "capacity", "--fixed", "prefill-first/512/64"])
    assert "compared" not in found(world.book(), given)
    assert {wanted.stage for wanted in world.made} == {"capacity"}
    given = options(["--fixed", "prefill-first/512/64", "--capacity", "1.5", "--policy", "adaptive"])
    assert [line["policy"] for line in found(world.book(), given)["compared"]] == ["adaptive"] * 3


def test_every_policy_is_compared() -> None:
    assert set(LINE_UP) == set(POLICY_NAMES)
