"""What is refused at the door, what is let in, and what the refused are told."""

import pytest

from headway.core.limits import Limits
from headway.core.types import Accepted, Finished, Refusal, Refused
from tests.core.test_scheduler import ask, make, only, step


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (ask(1, prompt=40, max_tokens=9), Refusal.TOO_LONG),
        (ask(1, prompt=20, max_tokens=21), Refusal.NEVER_FITS),
    ],
)
def test_what_could_never_run_is_refused_with_the_numbers(request_, reason):
    scheduler = make(Limits(4, 32, 8, 4, 10, 48))
    (refused,) = scheduler.add(request_, 0.0)
    assert isinstance(refused, Refused)
    assert refused.reason is reason
    assert str(len(request_.prompt) + request_.sampling.max_tokens) in refused.message


def test_more_choices_than_the_queue_holds_are_refused_for_good():
    (refused,) = make().add(ask(1, prompt=3, choices=9), 0.0)
    assert (refused.reason, refused.retry_after_s) == (Refusal.NEVER_FITS, None)


def test_exactly_at_the_limit_works():
    scheduler = make(Limits(4, 32, 8, 4, 12, 48))
    assert isinstance(scheduler.add(ask(1, prompt=40, max_tokens=8), 0.0)[0], Accepted)
    while not only((events := step(scheduler)[1]), Finished):
        pass
    assert only(events, Finished)[0].output_tokens == 8


def test_a_full_queue_refuses_and_says_when_to_come_back():
    scheduler = make()
    for id in range(8):
        assert isinstance(scheduler.add(ask(id, prompt=3), 0.0)[0], Accepted)
    (refused,) = scheduler.add(ask(9, prompt=3), 0.0)
    assert refused.reason is Refusal.OVERLOADED
    assert refused.retry_after_s is not None
