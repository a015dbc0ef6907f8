"""Beyond capacity: who asks when, and what came of refusals."""

from collections import Counter

import pytest
from cpu_world import mixed
from overload_cpu import background_schedule, named, overload_s, overload_schedule, refusals, spread

from headway.bench.client import Exchange
from headway.bench.wire import Asked


def test_the_load_is_three_times_capacity_and_then_less_than_it() -> None:
    asked = overload_schedule(1.0, 1)
    assert [sum(a.at_s < overload_s for a in asked), len(asked)] == [60, 60 + 28]
    assert asked == overload_schedule(1.0, 1)


def test_a_deep_queue_is_there_at_once_and_changes_no_chat() -> None:
    alone = background_schedule(0.5, 1, 60.0, queue=False)
    beside = background_schedule(0.5, 1, 60.0, queue=True)
    assert Counter(a.service_class for a in alone) == {"chat": 30}
    assert Counter(a.service_class for a in beside) == {"chat": 30, "batch": 300}
    assert [a for a in beside if a.service_class == "chat"] == alone
    assert {a.at_s for a in beside if a.service_class == "batch"} == {0.0}


def test_refusals_are_counted_by_who_asked_and_who_came_again() -> None:
    first, second, third = mixed(1.0, 1, 3.0)
    found = refusals(
        [
            exchange(first, 0.0, 429, 0.01, retry_after_s=2.0),
            exchange(second, 1.0, 200, 0.5),
            exchange(third, 1.5, 429, 0.09, retry_after_s=4.0),
            exchange(first, 2.1, 200, 0.4),
            exchange(third, 5.5, 429, 0.02, retry_after_s=4.0),
        ]
    )
    assert (found["asked"], found["refused"], found["came_again"], found["let_in"]) == (3, 2, 2, 1)
    assert (found["refusals"], found["refused_in_time"]) == (3, 2)
    assert found["refusal_s"] == {"p50": 0.02, "p95": 0.09, "max": 0.09}
    assert found["retry_after_s"]["max"] == 4.0


def exchange(asked: Asked, sent_s: float, status: int, after_s: float, **fields: float) -> Exchange:
    first_byte_s = sent_s + after_s
    return Exchange(asked, sent_s, sent_s, first_byte_s, status=status, **fields)  # type: ignore[arg-type]


def test_a_spread_is_the_median_the_nearest_rank_and_the_most() -> None:
    assert spread([]) is None
    assert spread([float(n) for n in range(1, 101)]) == {
        "p50": pytest.approx(50.5),
        "p95": 95.0,
        "max": 100.0,
    }


def test_what_the_log_calls_impossible_is_found() -> None:
    log = (
        "10:00:00 headway.access POST /v1/completions 200\n"
        "10:00:01 headway.slo class gold: its target for itl cannot be kept: a reason\n"
    )
    assert named(log) == ["class gold: its target for itl cannot be kept: a reason"]
