"""Runs in which something goes wrong: everyone's end is known, and the same seed goes wrong the same way."""

from collections import Counter
from dataclasses import replace
from math import inf

import pytest

from headway.bench.workload import CLASSES, WORKLOADS
from headway.clock import VirtualClock
from headway.core.engine import Engine
from headway.core.limits import Limits
from headway.core.memory import paged
from headway.core.policies import POLICIES
from headway.core.ports import ExecutorDied
from headway.core.scheduler import Scheduler
from headway.core.types import Accepted, Finished, Reason, Refused
from headway.sim.executor import LinearCost
from headway.sim.faults import Burst, Faults, Slow, arrivals, death, letters, slowed
from headway.sim.inbox import VirtualInbox
from headway.sim.observe import Run, observe
from headway.sim.run import EventLog
from headway.sim.scripted import LengthsExecutor
from headway.sim.simulate import Trial
from tests.sim.invariants import check_scheduler

limits = Limits(32, 512, 1000, 16, 900, 16_384)
load = replace(WORKLOADS["mixed"], requests=30)
cost = LinearCost(0.005, 0.00003)
kinds = {
    "none": Faults(),
    "slow": Faults(slow=(Slow(2.0, 6.0, 5.0),)),
    "lost": Faults(rank_lost_s=6.0),
    "leaving": Faults(leaving=0.5),
    "burst": Faults(bursts=(Burst(3.0, 30),)),
    "all": Faults((Slow(1.0, 2.0, 9.0),), 9.0, 0.3, (Burst(4.0, 20), Burst(5.0, 5))),
}


def observed(faults: Faults, policy: str = "adaptive") -> Run:
    trial = Trial(load, CLASSES, cost, paged, inf, inf, faults=faults)
    return observe(trial, POLICIES[policy](), limits, 4.0, 3)


@pytest.mark.parametrize("name", kinds)
@pytest.mark.parametrize("policy", ["adaptive", "stall-free"])
def test_invariants_hold_after_every_turn_and_each_request_ends_once(name: str, policy: str) -> None:
    faults, clock, log = kinds[name], VirtualClock(), EventLog()
    asked = arrivals(load, 4.0, 3, inf, faults)
    executor = LengthsExecutor(clock, slowed(cost, clock, faults.slow), asked, death=death(clock, faults))
    inbox = VirtualInbox(clock, executor, letters(asked, 3, faults.leaving))
    scheduler = Scheduler(limits, POLICIES[policy](), paged, classes=CLASSES)
    engine = Engine(clock, inbox, executor, log, scheduler)
    wait, died = inbox.wait, False

    def checked_wait(until: float | None) -> bool:
        check_scheduler(scheduler, until)
        return wait(until)

    engine.inbox.wait = checked_wait  # type: ignore[method-assign]
    try:
        engine.run()
    except ExecutorDied:
        died = True
    assert died == (faults.rank_lost_s is not None)
    verdicts = Counter(e.request_id for e in log.events if isinstance(e, Accepted | Refused))
    ends = Counter(e.request_id for e in log.events if isinstance(e, Finished))
    accepted = {e.request_id for e in log.events if isinstance(e, Accepted)}
    assert set(verdicts.values()) <= {1}
    assert ends == Counter(accepted), "every request that was let in has one end"
    if died:
        lost = [e for e in log.events if isinstance(e, Finished) and e.reason is Reason.ERROR]
        assert lost
        assert all("rank was lost" in e.detail for e in lost)
    else:
        assert len(verdicts) == len(asked)
    assert not scheduler._live


@pytest.mark.parametrize("name", kinds)
def test_the_same_seed_goes_wrong_the_same_way(name: str) -> None:
    assert observed(kinds[name]) == observed(kinds[name])


def test_slow_steps_take_longer_only_while_they_are_slow() -> None:
    well, slow = observed(kinds["none"]), observed(kinds["slow"])
    assert slow.totals.output_tokens == well.totals.output_tokens
    shortest = min(point.step_s for point in slow.timeline if 2.1 < point.at_s < 6.0)
    assert shortest > 4 * min(point.step_s for point in well.timeline)
    assert slow.report.attainment <= well.report.attainment


def test_a_lost_rank_fails_whoever_was_there_and_whoever_comes() -> None:
    run = observed(kinds["lost"])
    assert run.totals.ends["error"] > 0
    assert run.totals.duration_s < 7.0
    assert sum(line.requests for line in run.report.classes.values()) == 30, "all of them are judged"
    assert sum(line.incomplete for line in run.report.classes.values()) > run.totals.ends["error"]


def test_clients_who_leave_are_counted_and_not_judged() -> None:
    run = observed(kinds["leaving"])
    left = run.totals.ends["cancelled"]
    assert 0 < left < 30
    assert sum(line.requests for line in run.report.classes.values()) == 30 - left


def test_a_burst_comes_at_once_beside_the_rest() -> None:
    asked = arrivals(load, 4.0, 3, inf, kinds["burst"])
    assert len(asked) == 60
    assert sum(a.at_s == 3.0 for a in asked) == 30
    assert [a.at_s for a in asked] == sorted(a.at_s for a in asked)
    calm = arrivals(load, 4.0, 3, inf, Faults())
    assert [a for a in asked if a.at_s != 3.0] == calm
