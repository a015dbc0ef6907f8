"""Failures, times and choices where several batches or several choices are under way, by example."""

import pytest

from headway.core.types import Cancel, Finished, Reason, Stepped, Token
from tests.core.test_scheduler import ask, land, make, only, step


@pytest.mark.parametrize("fail_again", [True, False])
def test_a_sequence_that_fails_with_its_next_slice_in_flight_ends_once_and_frees_when_that_landed(fail_again):
    scheduler = make()
    scheduler.add(ask(1, prompt=3), 0.0)
    first, second = scheduler.plan(0.0).batch, scheduler.plan(0.0).batch
    (end,) = only(land(scheduler, first, fail={0}), Finished)
    assert end.reason is Reason.ERROR
    assert scheduler.residency.pool.available == 15, "its blocks are still being written"
    events = land(scheduler, second, fail={0} if fail_again else ())
    assert not only(events, Finished)
    assert not only(events, Token)
    assert scheduler.residency.pool.available == 16
    scheduler.add(ask(2, prompt=3), 0.0)
    assert scheduler.plan(0.0).batch.gone == (0,), "the executor is told once"


def test_a_step_lasts_from_the_end_of_the_one_before_it_if_that_came_later_than_its_start():
    scheduler = make()
    scheduler.add(ask(1, prompt=3), 0.0)
    first, second = scheduler.plan(0.0).batch, scheduler.plan(0.0).batch
    events = land(scheduler, first, start_s=0.0, end_s=1.0) + land(scheduler, second, start_s=0.25, end_s=1.5)
    assert [frame.step_s for frame in only(events, Stepped)] == [1.0, 0.5]


def test_the_prompt_is_scored_by_one_choice_alone():
    scheduler = make()
    scheduler.add(ask(1, prompt=9, choices=3, prompt_logprobs=2), 0.0)
    joined = [one for _ in range(2) for one in step(scheduler)[0].joined]
    assert [one.sampling.prompt_logprobs for one in joined] == [2, None, None]


def test_a_cancel_that_names_a_choice_ends_no_other():
    scheduler = make()
    scheduler.add(ask(1, prompt=9, choices=3), 0.0)
    step(scheduler)
    step(scheduler)
    (end,) = scheduler.cancel(Cancel(1, choice=1), 2.0)
    assert (end.choice, end.reason) == (1, Reason.CANCELLED)
    assert [slice.id for slice in step(scheduler)[0].slices] == [0, 2]
