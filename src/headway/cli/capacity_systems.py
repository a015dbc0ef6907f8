"""What a capacity is searched for on: a machine that is simulated, a server that is there, a model that is
served for it. Each gives an `Attempt`: a rate in, a trial out.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from math import inf
from typing import Any, NamedTuple

from headway.bench.client import Client, Exchange
from headway.bench.largest_rate import Attempt, Trial, allowed, hopeless, judged, may_miss
from headway.bench.load import play
from headway.bench.probe import probe
from headway.bench.prompts import as_ids, as_text
from headway.bench.report import meets
from headway.bench.served import serving
from headway.bench.wire import Api, Asked, Target
from headway.bench.workload import Load
from headway.cli import sim_setup
from headway.core.slo import ServiceClass
from headway.sim.judge import Judge
from headway.sim.simulate import run

drain_s, look_s = 30.0, 0.5
warm_up, warm_up_s = 8, 120.0  # requests before the first trial; seconds they may take

Classes = Mapping[str, ServiceClass]


class System(NamedTuple):
    words: str
    classes: Classes
    attempt: Attempt


def simulated(asked: sim_setup.Asked) -> System:
    """Raises ConfigError, BadProfile, BadWorkload or BadModel."""
    setup = sim_setup.set_up(asked)

    def attempt(rate: float, number: int) -> Trial:
        trial = replace(setup.trial(setup.machine.cost(number)), window_s=inf, horizon_s=inf)
        arrivals = list(setup.load.arrivals(rate, number, inf))
        judge = Judge(arrivals, setup.classes, inf, tolerated=hopeless * may_miss)
        run(trial, setup.policy(), setup.limits, arrivals, number, judge)
        return judged(judge.answers(), setup.classes, rate)

    return System(f"{setup.machine.title}, simulated under {asked.policy}", setup.classes, attempt)


class Draws(NamedTuple):
    """Of every trial over HTTP."""

    load: Load
    requests: int
    text: bool

    def asked(self, rate: float, seed: int) -> list[Asked]:
        draw: Callable[..., Any] = as_text if self.text else as_ids
        arrivals = islice(self.load.arrivals(rate, seed, inf), self.requests)
        return [
            Asked(a.at_s, a.service_class, draw(a, i, seed), a.output_tokens) for i, a in enumerate(arrivals)
        ]


def over_http(target: Target, classes: Classes, draws: Draws, late: Callable[[float], object]) -> Attempt:
    """`late` hears when the client was the bottleneck of a trial, and by how many seconds."""
    asyncio.run(play(draws.asked(1.0, -1)[:warm_up], target, warm_up_s, at_a_time=4))

    def attempt(rate: float, number: int) -> Trial:
        asked = draws.asked(rate, number)
        watch = _until_decided(classes, Counter(a.service_class for a in asked))
        played = asyncio.run(play(asked, target, asked[-1].at_s + drain_s, beside=watch))
        if not played.valid:
            late(played.lag_p99_s)
        return judged(sorted(played.answers, key=lambda a: a.arrival_s), classes, rate)

    return attempt


def _until_decided(classes: Classes, counts: Mapping[str, int]) -> Callable[[Client], Any]:
    """A trial ends when all are answered, or when a class has missed so many that the rest says no more."""

    async def watch(client: Client) -> None:
        may_miss = {name: hopeless * allowed(classes[name]) * count for name, count in counts.items()}
        ended: list[Exchange] = []
        while len(ended) < sum(counts.values()):
            await asyncio.sleep(look_s)
            ended = [e for e in client.exchanges if e.ended_s is not None]
            promised = ((e, e.asked.service_class) for e in ended)
            missed = Counter(n for e, n in promised if not meets(e.answer, classes[n].targets))
            if any(missed[name] > most for name, most in may_miss.items()):
                return

    return watch


def at_url(
    url: str, name: str | None, key: str | None, given: Callable[[Classes | None], Classes], text: bool
) -> tuple[str, Target, Classes]:
    """In words, where, and what is promised. Raises BadTarget."""
    found = probe(url, model=name, api=Api.COMPLETIONS, text=text, key=key)
    return f"{url} serves {found.words}", found.target, given(found.classes)


@contextmanager
def served(name: str, policy: str | None, classes: Sequence[str]) -> Iterator[Target]:
    """Raises NotServed."""
    flags = ["--max-queue", "100000", *(["--policy", policy] if policy else [])]
    with serving(name, flags + [part for text in classes for part in ("--class", text)]) as server:
        yield server.target
