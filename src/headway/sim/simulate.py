"""A workload under a policy on a device: a report.

Load goes on to the horizon, so that nobody is served in a calm that would not come; judged are the requests
that arrive within the window. What of them has not ended at the horizon counts as missed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headway.bench.report import Report, report
from headway.bench.workload import Arrival, Load
from headway.clock import VirtualClock
from headway.core.engine import Engine
from headway.core.forecast import Profile
from headway.core.limits import Limits
from headway.core.memory import MemoryRule
from headway.core.policies import Policy
from headway.core.ports import ExecutorDied
from headway.core.scheduler import Scheduler
from headway.core.slo import ServiceClass
from headway.sim.executor import Cost
from headway.sim.faults import NO_FAULTS, Faults, Way, arrivals, death, letters, slowed
from headway.sim.inbox import VirtualInbox
from headway.sim.judge import Judge
from headway.sim.scripted import LengthsExecutor


@dataclass(frozen=True, slots=True)
class Trial:
    """Everything of a simulation but who is in charge."""

    workload: Load
    classes: Mapping[str, ServiceClass]
    cost: Cost
    memory: MemoryRule
    window_s: float
    horizon_s: float
    depth: int = 1  # batches in flight
    stages: int = 1  # of a pipeline; a sequence is in one batch at a time where there are several
    faults: Faults = NO_FAULTS
    way: Way | None = None  # between client and scheduler; None: none
    profile: Profile = Profile()  # what the engine's forecast begins with


def simulate(
    trial: Trial,
    policy: Policy,
    limits: Limits,
    rate: float,
    seed: int,
    *,
    tolerated: float = 1.0,
) -> Report:
    """Run to the horizon, or until every judged request has ended, or until a class with targets has missed
    more than `tolerated`, a share of its requests; what has not ended by then is missed, too.
    """
    asked = arrivals(trial.workload, rate, seed, trial.horizon_s, trial.faults)
    judge = Judge(asked, trial.classes, trial.window_s, tolerated)
    run(trial, policy, limits, asked, seed, judge)
    return report(judge.answers(), trial.classes, trial.window_s)


def run(
    trial: Trial, policy: Policy, limits: Limits, asked: Sequence[Arrival], seed: int, judge: Judge
) -> float:
    """Until the judge has decided, the horizon, or the end of all; when that was."""
    clock = VirtualClock()
    executor = LengthsExecutor(
        clock,
        slowed(trial.cost, clock, trial.faults.slow),
        asked,
        death=death(clock, trial.faults),
        depth=trial.depth,
        exclusive=trial.stages > 1,
        stages=trial.stages,
    )
    inbox = VirtualInbox(clock, executor, letters(asked, seed, trial.faults.leaving, trial.way))
    scheduler = Scheduler(
        limits,
        policy,
        trial.memory,
        classes=trial.classes,
        profile=trial.profile,
        exclusive=executor.exclusive,
    )
    engine = Engine(clock, inbox, executor, judge, scheduler)
    try:
        while judge.undecided and clock.now() < trial.horizon_s and engine.turn():
            pass
    except ExecutorDied:  # every open request has had its end; whoever comes later is not served
        return clock.now()
    return clock.now()
