"""What settings are tried on: the machine's own profile, simulated; and the machine, over HTTP. The same
requests in both worlds, and the same judgement.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from math import inf
from statistics import fmean

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
from headway.tune.search import Score
from headway.tune.settings import Tuned

drain_s = 20.0  # what has not ended so long after the last arrival is missed
simulated_requests, all_at_once = 150, 128
beyond = 1.2  # times the rate, where settings that do equally well are told apart
warm_up, warm_up_rate, warm_up_s = 8, 4.0, 60.0
look_s, most_wait_s = 1.0, 5.0  # before a trial: so long quiet, or no longer waited for


@dataclass(frozen=True, slots=True)
class Work:
    """Who asks, and what it is judged by."""

    load: Load
    classes: Mapping[str, ServiceClass]
    at_once: bool  # tokens per second are what counts

    def arrivals(self, rate: float, seed: int, count: int) -> list[Arrival]:
        """In both worlds a request says how long its answer will be, and ends there."""
        drawn = islice(self.load.arrivals(rate, seed, inf), all_at_once if self.at_once else count)
        return [arrival._replace(max_tokens=arrival.output_tokens) for arrival in drawn]

    def score(self, answers: Sequence[Answer]) -> Score:
        """At this rate alone; nothing is known of a higher one."""
        last_s = max(answer.arrival_s for answer in answers)
        found = report(answers, self.classes, max(last_s, 1e-9))
        if not self.at_once:
            return Score(found.goodput, 0.0, found.attainment, found.completion)
        complete = [answer for answer in answers if answer.complete]
        end_s = max((answer.stamps[-1] for answer in complete), default=inf)
        tokens = sum(len(answer.stamps) for answer in complete)
        return Score(tokens / end_s, 0.0, found.attainment, found.completion)

    def asked(self, rate: float, seed: int, count: int) -> list[Asked]:
        """No run finds in the prefix cache what another has left there."""
        return [
            Asked(a.at_s, a.service_class, prompt_ids(id, a), a.output_tokens, f"{seed}")
            for id, a in enumerate(self.arrivals(rate, seed, count))
        ]


def simulated(setup: Setup, work: Work, seed: int) -> Callable[[Tuned, float, int], Score]:
    def once(tuned: Tuned, rate: float, draw: int) -> Score:
        own = 1000 * seed + draw
        arrivals = work.arrivals(rate, own, simulated_requests)
        horizon_s = inf if work.at_once else arrivals[-1].at_s + drain_s
        trial = replace(setup.trial(setup.machine.cost(own)), window_s=inf, horizon_s=horizon_s)
        judge = Judge(arrivals, work.classes, inf, tolerated=1.0)
        run(trial, POLICIES[tuned.policy](), limits(setup, tuned), arrivals, own, judge)
        return work.score(judge.answers())

    def attempt(tuned: Tuned, rate: float, draws: int) -> Score:
        found = [once(tuned, rate, draw) for draw in range(draws)]
        further = found if work.at_once or draws == 1 else [
            once(tuned, beyond * rate, draw) for draw in range(draws)
        ]  # fmt: skip
        columns = (fmean(column) for column in zip(*found, strict=True))
        return Score(*columns)._replace(beyond=fmean(each.goodput for each in further))

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
    counts: bool  # the machine was left alone, and the client was in time
    cores: Mapping[str, float]  # that others had


def measured(
    model: str, flags: Sequence[str], work: Work, rate: float, seed: int, seconds: float
) -> Callable[[Tuned], Measured]:
    """With a server of its own each time, after a warm-up. Raises NotServed or BadTarget."""
    schedule = work.asked(rate, 1000 * seed, max(1, round(rate * seconds)))
    first = work.asked(warm_up_rate, -1, warm_up)

    def attempt(tuned: Tuned) -> Measured:
        await_quiet(look_s, most_wait_s)
        with serving(model, [*flags, *tuned.flags]) as server:
            warmed = asyncio.run(play(first, server.target, warm_up_s, at_a_time=4))
            check_answered(warmed, f"with {tuned}", warm_up_s)
            before = usage(server)
            horizon_s = inf if work.at_once else schedule[-1].at_s + drain_s
            played = asyncio.run(play(schedule, server.target, horizon_s))
            cores = disturbance(before, usage(server))
        check_answered(played, f"with {tuned}")
        return Measured(work.score(played.answers), played.valid and left_alone(cores), cores)

    return attempt
