"""The statistic that a live change is judged by: attainment before and after, by one yardstick."""

import pytest

from headway.classes import read_classes
from headway.core.slo import Targets
from headway.metrics.promises import Outcome, Share
from headway.metrics.trial import Compared, Stretch, compare, yardstick

old = read_classes("gold:ttft=1s,itl=100ms;gone:ttft=1s")
own = Targets()


def outcomes(at_s: float, good: int, late: int, worst: float = 1.5, name: str = "gold") -> dict:
    """Requests that ended then; the late ones waited `worst` seconds for their first token."""
    ended = [Outcome(at_s, own, (0.5, 0.0, 0.0))] * good + [Outcome(at_s, own, (worst, 0.0, 0.0))] * late
    return {name: ended}


@pytest.mark.parametrize(
    ("before", "after", "falls"),
    [
        (Share(100, 100), Share(100, 89), True),
        (Share(100, 100), Share(100, 95), False),  # five points are tolerated
        (Share(1000, 900), Share(1000, 840), True),
        (Share(40, 36), Share(40, 33), False),  # 7.5 points, and chance does as much
        (Share(20, 20), Share(20, 14), False),
        (Share(20, 20), Share(20, 11), True),
        (Share(4, 4), Share(500, 0), True),
        (Share(500, 490), Share(3, 0), True),
        (Share(500, 490), Share(1, 0), False),  # one in fifty is missed anyway
        (Share(2, 2), Share(9, 0), False),
        (Share(0, 0), Share(0, 0), False),
        (Share(100, 50), Share(100, 100), False),
    ],
)
def test_a_fall_is_more_than_is_tolerated_and_more_than_chance(
    before: Share, after: Share, falls: bool
) -> None:
    assert Compared("gold", before, after).fell(0.05) is falls


def test_the_yardstick_is_the_later_target_and_none_where_either_promises_nothing() -> None:
    new = read_classes("gold:ttft=200ms,itl=2s,deadline=9s")["gold"]
    assert yardstick(old["gold"], new) == Targets(1.0, 2.0, None)
    assert yardstick(new, old["gold"]) == Targets(1.0, 2.0, None)


@pytest.mark.parametrize("keys", ["ttft=1ms", "ttft=60s"])
def test_neither_a_tighter_nor_a_looser_target_moves_attainment_by_itself(keys: str) -> None:
    new = read_classes(f"gold:{keys}")
    before = Stretch(0.0, 100.0, outcomes(99.0, 50, 50))
    after = Stretch(100.0, 160.0, outcomes(150.0, 50, 50))
    (found,) = (each for each in compare(before, after, old, new, 60.0) if each.name == "gold")
    assert found.before == found.after


def test_classes_on_one_side_only_and_such_as_promise_nothing_are_not_judged() -> None:
    new = read_classes("gold:ttft=none,itl=none;fresh:ttft=1s;interactive:ttft=1s")
    nothing = Stretch(0.0, 1.0, {})
    assert [each.name for each in compare(nothing, nothing, old, new, 60.0)] == ["chat", "interactive"]


def test_before_is_one_window_and_no_longer_than_that_was_in_force() -> None:
    ended = {"gold": [Outcome(at_s, own) for at_s in (10.0, 50.0, 95.0, 100.0)]}
    targets = old["gold"].targets
    assert Stretch(0.0, 100.0, ended).share("gold", targets, 60.0).requests == 3
    assert Stretch(70.0, 100.0, ended).share("gold", targets, 60.0).requests == 2
    assert Stretch(0.0, 97.0, ended).share("gold", targets).requests == 3
    assert Stretch(0.0, 100.0, ended).share("unheard", targets) == Share(0, 0)


def test_who_left_or_is_open_counts_for_what_it_had_missed_and_for_nothing_else() -> None:
    left = [Outcome(5.0, own, (0.1, 0.0, 0.0), left=True), Outcome(5.0, own, (3.0, 0.0, 0.0), left=True)]
    assert Stretch(0.0, 5.0, {"gold": left}).share("gold", old["gold"].targets) == Share(1, 0)


def test_a_requests_own_target_is_held_against_it_on_both_sides() -> None:
    loose = Outcome(5.0, Targets(ttft_s=9.0), (3.0, 0.0, 0.0))
    assert Stretch(0.0, 5.0, {"gold": [loose]}).share("gold", old["gold"].targets) == Share(1, 1)
