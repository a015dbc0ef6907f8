"""What a capacity is searched for on: a machine that is simulated, a server that is there, a model that is
served for it. Each gives an `Attempt`: a rate in, a trial out.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import islice
from math import inf
from typing import Any, NamedTuple

from headway.bench.client import Client, Exchange
from headway.bench.largest_rate import Attempt, Trial, hopeless, judged, may_miss, most_missed
from headway.bench.load import check_answered, play
from headway.bench.prompts import as_ids, as_text
from headway.bench.report import meets
from headway.bench.wire import Asked, BadTarget, Target
from headway.bench.workload import Load
from headway.cli import sim_setup
from headway.config import ConfigError
from headway.core.slo import ServiceClass
from headway.sim.judge import Judge
from headway.sim.simulate import run

drain_s, look_s = 30.0, 0.5
warm_up, warm_up_s = 8, 120.0  # requests before the first trial; seconds they may take
attempts = 3  # at a trial in which the client was late

Classes = Mapping[str, ServiceClass]


class System(NamedTuple):
    words: str
    classes: Classes
    attempt: Attempt


def simulated(asked: sim_setup.Asked, seed: int) -> System:
    """Raises ConfigError, BadProfile, BadWorkload or BadModel."""
    setup = sim_setup.set_up(asked)

    def attempt(rate: float, number: int) -> Trial:
        own = 1000 * seed + number
        arrivals = list(setup.load.arrivals(rate, own, inf))
        horizon_s = arrivals[-1].at_s + drain_s
        trial = replace(setup.trial(setup.machine.cost(own)), window_s=inf, horizon_s=horizon_s)
        judge = Judge(arrivals, setup.classes, inf, tolerated=hopeless * may_miss)
        end_s = run(trial, setup.policy(), setup.limits, arrivals, own, judge)
        return judged(judge.answers(), setup.classes, rate, end_s if judge.stopped else None)

    return System(f"{setup.machine.title}, simulated under {asked.policy}", setup.classes, attempt)


class Draws(NamedTuple):
    """Of every trial over HTTP."""

    load: Load
    requests: int
    text: bool
    seed: int

    def asked(self, rate: float, number: int) -> list[Asked]:
        draw: Callable[..., Any] = as_text if self.text else as_ids
        own = 1000 * self.seed + number
        arrivals = islice(self.load.arrivals(rate, own, inf), self.requests)
        return [
            Asked(a.at_s, a.service_class, draw(a, i, own), a.output_tokens) for i, a in enumerate(arrivals)
        ]


def over_http(target: Target, classes: Classes, draws: Draws) -> Attempt:
    """An attempt raises BadTarget where nobody is answered, or the client cannot ask so much."""
    first = draws.asked(1.0, -1)
    if strangers := {asked.service_class for asked in first} - classes.keys():
        raise ConfigError(f"the load asks for {', '.join(strangers)}, which is not promised; see --mix")
    warmed = asyncio.run(play(first[:warm_up], target, warm_up_s, at_a_time=4))
    check_answered(warmed, "before the first trial", warm_up_s)

    def attempt(rate: float, number: int) -> Trial:
        asked = draws.asked(rate, number)
        horizon_s = asked[-1].at_s + drain_s
        for _ in range(attempts):
            stops_s: list[float] = []
            watch = _until_decided(classes, Counter(a.service_class for a in asked), stops_s)
            played = asyncio.run(play(asked, target, horizon_s, beside=watch))
            check_answered(played, f"at {rate:.3g} requests/s")
            if played.valid:
                answers = sorted(played.answers, key=lambda a: a.arrival_s)
                return judged(answers, classes, rate, stops_s[0] if stops_s else None)
        late_ms = 1e3 * played.lag_p99_s
        late = f"this client was {late_ms:.0f} ms late, {attempts} times; it cannot ask so much"
        raise BadTarget(f"at {rate:.3g} requests/s {late}")

    return attempt


def _until_decided(
    classes: Classes, counts: Mapping[str, int], stops_s: list[float]
) -> Callable[[Client], Any]:
    """A trial ends when all are answered, or when a class has missed so many that the rest says no more;
    then `stops_s` is told when."""

    async def watch(client: Client) -> None:
        most = {name: most_missed(classes[name], count) for name, count in counts.items()}
        missed, judged_ids, total = Counter[str](), set[int](), sum(counts.values())
        while len(judged_ids) < total:
            if any(missed[name] > some for name, some in most.items()):
                stops_s.append(client.now_s)
                return
            await asyncio.sleep(look_s)
            for number, exchange in enumerate(client.exchanges):
                if number not in judged_ids and exchange.ended_s is not None:
                    judged_ids.add(number)
                    missed[exchange.asked.service_class] += not _met(exchange, classes)

    return watch


def _met(exchange: Exchange, classes: Classes) -> bool:
    return meets(exchange.answer, classes[exchange.asked.service_class].targets)
