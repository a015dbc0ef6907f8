"""What a class promises, and when tokens are due."""

from math import inf

import pytest

from headway.core.slo import (
    BATCH,
    CHAT,
    INTERACTIVE,
    Overload,
    ServiceClass,
    Targets,
    first_due_s,
    is_missed,
    next_due_s,
    pace_s,
)


def test_a_requests_own_targets_stand_in_place_of_its_classs_and_make_none() -> None:
    assert CHAT.targets.replaced(Targets(ttft_s=2.0)) == Targets(2.0, 0.1, None)
    assert CHAT.targets.replaced(Targets(itl_s=0.05, deadline_s=5.0)) == Targets(0.3, 0.05, None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"ttft_p95_s": 0.0},
        {"itl_p95_s": inf},
        {"deadline_s": -1.0},
        {"weight": 0.0},
        {"level": 100},
        {"on_overload": Overload.DOWNGRADE},
        {"downgrade_to": "batch"},
        {"on_overload": Overload.DOWNGRADE, "downgrade_to": "own"},
    ],
)
def test_no_class_exists_that_contradicts_itself(wrong) -> None:
    with pytest.raises(ValueError, match="class own"):
        ServiceClass(name="own", **wrong)


def test_the_first_token_is_due_early_enough_for_the_rest_of_the_answer() -> None:
    assert first_due_s(CHAT.targets, 10.0, decode_s=5.0) == 10.3
    assert first_due_s(INTERACTIVE.targets, 10.0, decode_s=0.1) == 10.5
    assert first_due_s(INTERACTIVE.targets, 10.0, decode_s=1.8) == pytest.approx(10.1)
    assert first_due_s(BATCH.targets, 10.0, decode_s=1.0) == inf


def test_a_target_for_gaps_banks_nothing() -> None:
    assert next_due_s(CHAT.targets, 0.0, last_s=1.0, left=50) == 1.1


def test_what_is_left_until_a_deadline_is_spread_evenly_and_never_used_up_at_once() -> None:
    targets = Targets(deadline_s=2.0)
    assert next_due_s(targets, 0.0, last_s=0.9, left=10) == pytest.approx(1.0)
    assert next_due_s(targets, 0.0, last_s=0.9, left=1) == pytest.approx(0.9 + 1.0 / 4)
    assert next_due_s(targets, 0.0, last_s=3.0, left=10) == 3.0


def test_the_pace_that_keeps_a_promise() -> None:
    assert pace_s(CHAT.targets, 100) == 0.1
    assert pace_s(INTERACTIVE.targets, 19) == pytest.approx(0.1)
    assert pace_s(BATCH.targets, 100) == inf


def test_a_target_is_missed_for_good_once_its_time_is_over() -> None:
    assert not is_missed(CHAT.targets, 0.0, None, 0.3)
    assert is_missed(CHAT.targets, 0.0, None, 0.31)
    assert not is_missed(CHAT.targets, 0.0, 0.2, 99.0)
    assert is_missed(INTERACTIVE.targets, 0.0, 0.2, 2.01)
