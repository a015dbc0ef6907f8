"""A plan: of each device the best candidate, with what it holds and costs; best first.

Owns the order of the searches and the processes they run in; what it says is the same whatever their number.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from math import ceil
from multiprocessing import get_context
from statistics import fmean
from typing import Any, TypeVar

from headway.plan.bounds import Estimate, estimate, impossible
from headway.plan.candidates import Refused
from headway.plan.demand import Demand
from headway.plan.question import Candidate, Question
from headway.plan.search import (
    Capacity,
    Layout,
    Look,
    Raced,
    beside,
    contended,
    find_capacity,
    loads,
    look,
    race,
    tolerance,
)
from headway.plan.trials import Entrant
from headway.sim.figures import together

T = TypeVar("T")
Map = Callable[..., Iterable[Any]]  # as the built-in one: answers in order, wherever they were found
Told = Callable[[int, int], None]  # how many searches are done, of how many


def not_told(done: int, total: int) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A device's best candidate, and its capacity: what one replica holds."""

    candidate: Candidate
    seeds: tuple[Capacity, ...]
    look: Look
    interval: tuple[float, float] | None  # 95 %, of several seeds; None: one was asked for, or was enough
    replicas: int  # so many that each has at most what it held on every seed; 1 where no rate is wanted
    rate: float  # requests per second of all replicas: what is wanted, else the capacity
    output_tokens: float  # of a request, on average
    layouts: tuple[Layout, ...]  # TP and PP on as many GPUs, at one rate; empty: there is no such pair

    @property
    def device(self) -> str:
        return self.candidate.deployment.device.name

    @property
    def capacity(self) -> float:
        """Requests per second, the mean of the seeds."""
        return fmean(seed.rate for seed in self.seeds)

    @property
    def dollars_per_hour(self) -> float:
        """Of all replicas."""
        return self.replicas * self.candidate.dollars_per_hour

    @property
    def per_million_tokens(self) -> float:
        """Dollars, of output."""
        return self.replicas * self.per_million_at(self.rate)

    def per_million_at(self, rate: float) -> float:
        """Of one replica that has so much to do."""
        return 1e6 * self.candidate.dollars_per_hour / 3600 / (rate * self.output_tokens)

    @property
    def per_thousand_good(self) -> float:
        """Dollars, of requests that meet every target; as many of them as at capacity."""
        return 1e3 * self.dollars_per_hour / 3600 / (self.rate * self.look.points[-1].good)


@dataclass(frozen=True, slots=True)
class Plan:
    demand: Demand
    choices: tuple[Choice, ...]  # the cheapest for a good request first
    refused: tuple[Refused, ...]  # all other candidates, and why


def plan(
    question: Question, found: Iterable[Candidate | Refused], processes: int = 1, told: Told = not_told
) -> Plan:
    demand = Demand.of(question.load(), question.classes)
    fields, refused = _fields(question, demand, found)
    count = _Count(len(fields) * (2 + len(question.seeds)), told)
    with _spread(processes) as spread:
        races = count(spread(partial(race, question), fields.values()))
        raced: dict[str, Raced] = dict(zip(fields, races, strict=True))
        won = {name: (one.winner, one.capacity) for name, one in raced.items() if one.winner is not None}
        near = _contenders(question, won)
        asked = [(won[name][0], won[name][1].rate, seed) for name in near for seed in question.seeds[1:]]
        looked = [(*won[name], loads if name in near else ()) for name in won]
        pairs = {name: pair for name in near if (pair := _pair(won[name][0], fields[name]))}
        searches = spread(partial(_find_capacity, question), asked)  # all three begin at once
        looking = spread(partial(_look, question), looked)
        comparing = spread(partial(beside, question), pairs.values())
        found_rates = count(searches)
        more = {name: tuple(islice(found_rates, len(question.seeds) - 1)) for name in near}
        looks = dict(zip(won, count(looking), strict=True))
        layouts = dict(zip(pairs, count(comparing), strict=True))
    count.end()
    refused += [each for one in raced.values() for each in one.refused]
    choices = [
        _choice(
            question,
            demand,
            winner.candidate,
            (first, *more.get(name, ())),
            looks[name],
            layouts.get(name, ()),
        )
        for name, (winner, first) in won.items()
    ]
    choices.sort(key=lambda choice: (choice.per_thousand_good, choice.device))
    return Plan(demand, tuple(choices), tuple(refused))


def _find_capacity(question: Question, asked: tuple[Entrant, float, int]) -> Capacity:
    return find_capacity(question, *asked)


def _look(question: Question, asked: tuple[Entrant, Capacity, Sequence[float]]) -> Look:
    return look(question, *asked)


def _contenders(question: Question, won: Mapping[str, tuple[Entrant, Capacity]]) -> list[str]:
    """Devices that more seeds could still make the cheapest."""
    bills = {name: question.bill(winner.candidate, first.rate) for name, (winner, first) in won.items()}
    return [name for name, bill in bills.items() if bill <= contended * min(bills.values())]


class _Count:
    """Tells how many searches have ended, of how many."""

    def __init__(self, total: int, told: Told) -> None:
        self._done, self._total, self._told = 0, total, told

    def __call__(self, answers: Iterable[T]) -> Iterator[T]:
        self._told(self._done, self._total)
        for answer in answers:
            self._done += 1
            self._told(self._done, self._total)
            yield answer

    def end(self) -> None:
        """Of those that nobody needed, too."""
        self._told(self._total, self._total)


def _fields(
    question: Question, demand: Demand, found: Iterable[Candidate | Refused]
) -> tuple[dict[str, list[Entrant]], list[Refused]]:
    """By device those worth a run; and the others."""
    fields: dict[str, list[Entrant]] = {}
    refused: list[Refused] = []
    for each in found:
        if isinstance(each, Refused):
            refused.append(each)
            continue
        device, why = each.deployment.device.name, impossible(each, demand, question.classes)
        expected = Estimate(0.0, 0.0) if why else estimate(each, demand)
        if not expected.rate:
            refused.append(Refused(device, each.name, why or "no rate fits its memory, limits and promises"))
            continue
        fields.setdefault(device, []).append(Entrant(each, expected))
    return fields, refused


@contextmanager
def _spread(processes: int) -> Iterator[Map]:
    if processes == 1:
        yield map
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield pool.map


def _pair(entrant: Entrant, field: Sequence[Entrant]) -> tuple[Entrant, Entrant] | None:
    """On as many GPUs as the winner has, or the fewest where there are both: TP alone, and the most stages.
    All else as the winner has it.
    """
    winner, of = entrant.candidate, entrant.candidate.deployment
    alike: dict[int, list[Entrant]] = {}
    for each in field:
        other = each.candidate.deployment
        same = (other.weights, other.kv, other.step_tokens) == (of.weights, of.kv, of.step_tokens)
        if same and each.candidate.policy == winner.policy:
            alike.setdefault(other.gpus, []).append(each)
    for gpus in sorted(alike, key=lambda gpus: (gpus != of.gpus, gpus)):
        stages = {each.candidate.deployment.pp: each for each in alike[gpus]}
        if len(stages) > 1 and 1 in stages:
            return stages[1], stages[max(stages)]
    return None


def _choice(
    question: Question,
    demand: Demand,
    of: Candidate,
    seeds: tuple[Capacity, ...],
    look: Look,
    layouts: tuple[Layout, ...],
) -> Choice:
    rates, interval = [seed.rate for seed in seeds], None
    if len(seeds) > 1:
        _, low, high = together([{"rate": rate} for rate in rates])["rate"]
        interval = (
            max(low, 0.0),
            high * (1 + tolerance),
        )  # each seed's lies between what held and that much more
    held = [rate for rate in rates if rate]  # a seed that holds none says so in the interval
    replicas = 1 if question.rate is None else ceil(question.rate / min(held))
    rate = question.rate or fmean(rates)
    return Choice(of, seeds, look, interval, replicas, rate, demand.overall.output, layouts)
