"""Simulated clients: each at its time, or so many at a time."""

import pytest

from headway.bench.workload import Arrival
from headway.clock import VirtualClock
from headway.core.limits import Limits
from headway.core.memory import paged
from headway.core.policies import POLICIES
from headway.core.scheduler import Scheduler
from headway.sim.clients import Clients, ask_all
from headway.sim.executor import LinearCost
from headway.sim.scripted import LengthsExecutor

one = Arrival(0.0, "batch", 4, 3, 3)


def asked(*arrivals: Arrival, at_a_time: int | None, blocks: int = 100) -> Clients:
    """A step takes a second, whatever is in it."""
    clock = VirtualClock()
    executor = LengthsExecutor(clock, LinearCost(1.0, 0.0), arrivals)
    scheduler = Scheduler(Limits(8, 64, 100, 4, blocks, 32), POLICIES["stall-free"](), paged)
    return ask_all(clock, executor, scheduler, arrivals, at_a_time)


def test_the_next_asks_as_soon_as_one_has_its_answer() -> None:
    answers = asked(*[one] * 5, at_a_time=2).answers()
    assert [answer.arrival_s for answer in answers] == [0, 0, 3, 3, 6]
    assert [answer.e2e_s for answer in answers] == [3] * 5
    assert all(answer.complete for answer in answers)


def test_in_an_open_loop_each_asks_at_its_time() -> None:
    answers = asked(one, one._replace(at_s=0.5), one._replace(at_s=90.0), at_a_time=None).answers()
    assert [answer.arrival_s for answer in answers] == [0.0, 0.5, 90.0]
    assert [answer.stamps[0] for answer in answers] == [1.0, 2.0, 91.0]


def test_pre_emptions_are_counted() -> None:
    assert asked(*[one] * 4, at_a_time=4).preemptions == 0
    assert asked(*[one] * 4, at_a_time=4, blocks=5).preemptions > 0


def test_who_is_refused_is_not_complete_and_holds_nobody_up() -> None:
    answers = asked(one, one._replace(prompt_tokens=40), one, at_a_time=1).answers()
    assert [answer.complete for answer in answers] == [True, False, True]
    assert answers[2].arrival_s == pytest.approx(3)
