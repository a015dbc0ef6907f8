"""What settings are tried on: the machine's own profile, simulated; and the machine, over HTTP. The same
requests in both worlds, and the same judgement.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from math import inf
from statistics import fmean

from headway.bench.fields import BadWorkload
from headway.bench.load import check_answered, play
from headway.bench.report import Answer, report
from headway.bench.served import await_quiet, disturbance, left_alone, serving, usage
from headway.bench.wire import Asked
from headway.bench.workload import Arrival, Load, prompt_ids
from headway.cli.sim_setup import Setup
from headway.core.limits import Limits
from headway.core.policies import POLICIES
from headway.core.slo import ServiceClass
from headway.sim.judge import Judge
from headway.sim.simulate import run
from headway.tune.search import Score, Try
from headway.tune.settings import Tuned

drain_s, most_s = 20.0, 180.0  # after the last arrival, and of what is there at once: the rest is missed
fewest, most, all_at_once = 30, 600, 128  # requests of a trial
beyond = 1.3  # times the rate, where settings that do equally well are told apart
warm_up, warm_up_rate, warm_up_s = 8, 4.0, 120.0
look_s, most_wait_s = 1.0, 5.0  # before a trial: so long quiet, or no longer waited for


@dataclass(frozen=True, slots=True)
class Work:
    """Who asks, and what it is judged by. A trial is as long in simulation as it is when measured."""

    load: Load
    classes: Mapping[str, ServiceClass]
    at_once: bool  # tokens per second are what counts
    seconds: float  # of arrivals
    seed: int

    def arrivals(self, rate: float, draw: int, count: int | None = None) -> list[Arrival]:
        """In both worlds a request says how long its answer will be, and ends there."""
        usual = all_at_once if self.at_once else min(most, max(fewest, round(rate * self.seconds)))
        drawn = islice(self.load.arrivals(rate, 1000 * self.seed + draw, inf), count or usual)
        found = [arrival._replace(max_tokens=arrival.output_tokens) for arrival in drawn]
        if self.at_once:
            return [arrival._replace(at_s=0.0) for arrival in found]
        if not found or not found[-1].at_s:
            raise BadWorkload("all come at once, or nobody does; --for batch is for what is there at once")
        return found

    def asked(self, rate: float, draw: int, count: int | None = None) -> list[Asked]:
        """No run finds in the prefix cache what another has left there."""
        return [
            Asked(a.at_s, a.service_class, prompt_ids(id, a), a.output_tokens, f"{draw}")
            for id, a in enumerate(self.arrivals(rate, draw, count))
        ]

    def horizon_s(self, last_s: float) -> float:
        return most_s if self.at_once else last_s + drain_s

    def score(self, answers: Sequence[Answer]) -> Score:
        """At this rate alone."""
        found = report(answers, self.classes, max(answer.arrival_s for answer in answers) or 1.0)
        if not self.at_once:
            return Score(found.goodput, found.attainment, found.completion)
        complete = [answer for answer in answers if answer.complete]
        end_s = max((answer.stamps[-1] for answer in complete), default=inf)
        return Score(
            sum(len(answer.stamps) for answer in complete) / end_s, found.attainment, found.completion
        )


def simulated(setup: Setup, work: Work) -> Try:
    def once(tuned: Tuned, rate: float, draw: int) -> Score:
        arrivals = work.arrivals(rate, draw)
        horizon_s = work.horizon_s(arrivals[-1].at_s)
        trial = replace(setup.trial(setup.machine.cost(draw)), window_s=inf, horizon_s=horizon_s)
        judge = Judge(arrivals, work.classes, inf, tolerated=1.0)
        run(trial, POLICIES[tuned.policy](), limits(setup, tuned), arrivals, draw, judge)
        return work.score(judge.answers())

    def attempt(tuned: Tuned, rate: float, draws: int) -> Score:
        found = [once(tuned, rate, draw) for draw in range(draws)]
        further = 0.0 if work.at_once else fmean(once(tuned, beyond * rate, d).goodput for d in range(draws))
        goodput, attainment, completion, _ = (fmean(column) for column in zip(*found, strict=True))
        return Score(goodput, attainment, completion, further)

    return attempt


def limits(setup: Setup, tuned: Tuned) -> Limits:
    room = setup.limits.blocks * setup.limits.block_size
    return replace(
        setup.limits,
        max_seqs=tuned.max_seqs,
        max_step_tokens=tuned.budget,
        block_size=tuned.block_size,
        blocks=room // tuned.block_size,
    )


@dataclass(frozen=True, slots=True)
class Measured:
    score: Score
    cores: Mapping[str, float]  # that others had
    in_time: bool  # the client was

    @property
    def counts(self) -> bool:
        return self.in_time and left_alone(self.cores)


def measured(model: str, flags: Sequence[str], work: Work, rate: float) -> Callable[[Tuned], Measured]:
    """On the requests of the simulation's first draw, with a server of its own each time, after a warm-up.
    What is tuned comes last, so that it counts.
    Raises NotServed or BadTarget."""
    schedule, first = work.asked(rate, 0), work.asked(warm_up_rate, -1, warm_up)

    def attempt(tuned: Tuned) -> Measured:
        await_quiet(look_s, most_wait_s)
        with serving(model, [*flags, *tuned.flags]) as server:
            warmed = asyncio.run(play(first, server.target, warm_up_s, at_a_time=4))
            check_answered(warmed, f"with {tuned}", warm_up_s)
            before = usage(server)
            played = asyncio.run(play(schedule, server.target, work.horizon_s(schedule[-1].at_s)))
            cores = disturbance(before, usage(server))
        check_answered(played, f"with {tuned}")
        return Measured(work.score(played.answers), cores, played.valid)

    return attempt
