"""The searches, each a job of its own: a device's best candidate, its capacity by seeds, TP beside PP.

Each makes its own load and depends on nothing but its arguments, so that it does not matter where or in which
order they run.
"""

from collections.abc import Sequence
from typing import NamedTuple

from headway.plan.candidates import Refused
from headway.plan.measured import Point, Spent, binds, point, spent
from headway.plan.question import Candidate, Question
from headway.plan.trials import Entrant, Missed, Trials, strain
from headway.sim.capacity import capacity

judged, looked_at = 120, 80  # requests of a run that finds a capacity, and of one that looks at another rate
tolerance = 0.05  # a capacity is known to a factor of 1 + this; to lead is to be so much cheaper
usually_held, in_pipeline = 0.95, 0.6  # of an estimate, measured; a pipeline's prompts go one stage at a time
hopeless = 0.8  # of the requests per dollar that are expected of the best: below it no run is made
lowest = 0.1  # of where a search begins: what is not held there is not held
contended = 1.5  # times the least bill: beyond it one seed is enough
loads = (0.4, 0.7)  # of the capacity: what a shorter wait costs
both_hold = 0.35  # of the lower of two estimates: where two layouts are put side by side


class Capacity(NamedTuple):
    """Of one seed."""

    rate: float  # requests per second; 0: none is held
    missed: Missed | None  # at the next rate above


class Raced(NamedTuple):
    winner: Entrant | None  # None: none holds the promise at any rate
    capacity: Capacity  # of the first seed
    refused: tuple[Refused, ...]  # all others


class Look(NamedTuple):
    """The winner at its capacity and below."""

    points: tuple[Point, ...]  # the last at the capacity
    spent: Spent  # at the capacity, like what binds
    binds: str


class Layout(NamedTuple):
    """One of two ways to use as many GPUs, at one rate."""

    candidate: Candidate
    point: Point
    spent: Spent
    strain: float  # the worst p95 over its target


def race(question: Question, entrants: Sequence[Entrant]) -> Raced:
    """Of one device: those with the best estimates first. Whoever holds as much for less money leads; only a
    leader's capacity is searched for, so that most cost one run.
    """
    ordered = sorted(entrants, key=lambda entrant: _expected_bill(question, entrant))
    cheapest, load, seed = _expected_bill(question, ordered[0]), question.load(), question.seeds[0]
    leader: Entrant | None = None
    held, refused = Capacity(0.0, None), list[Refused]()

    def out(entrant: Entrant, why: str) -> None:
        refused.append(Refused(entrant.candidate.deployment.device.name, entrant.candidate.name, why))

    for entrant in ordered:
        guess: float | None = _expected(entrant)
        trials = Trials(question, load, entrant, judged)
        if leader is not None:
            if cheapest < hopeless * (bill := _expected_bill(question, entrant)):
                out(entrant, f"not run: by estimate a request costs {bill / cheapest:.2g} times the best's")
                continue
            bill = question.bill(leader.candidate, held.rate) / (1 + tolerance)
            guess = question.rate_for(entrant.candidate, bill)
            if guess is None or not trials.hold(guess, seed):
                out(entrant, _lost(guess, trials.missed))
                continue
        assert guess is not None
        found = _capacity(trials, guess, seed, stride=1.1)
        if not found:
            out(entrant, f"{trials.missed} is missed at every rate")
            continue
        if leader is not None:
            out(leader, f"it holds {held.rate:.3g} requests/s, dearer than {entrant.candidate.name}")
        leader, held = entrant, Capacity(found, trials.missed)
    return Raced(leader, held, tuple(refused))


def _expected_bill(question: Question, entrant: Entrant) -> float:
    return question.bill(entrant.candidate, _expected(entrant))


def _expected(entrant: Entrant) -> float:
    return entrant.estimate.rate * (usually_held if entrant.candidate.deployment.pp == 1 else in_pipeline)


def _lost(rate: float | None, missed: Missed | None) -> str:
    if rate is None:
        return "one replica costs more than all that the best needs"
    return f"to be the cheapest it must hold {rate:.3g} requests/s, and {missed} is missed there"


def _capacity(trials: Trials, guess: float, seed: int, stride: float) -> float:
    return capacity(lambda rate: trials.hold(rate, seed), guess, tolerance, stride, lowest * guess)


def find_capacity(question: Question, entrant: Entrant, guess: float, seed: int) -> Capacity:
    trials = Trials(question, question.load(), entrant, judged)
    return Capacity(_capacity(trials, guess, seed, stride=1 + tolerance), trials.missed)


def look(question: Question, entrant: Entrant, at: Capacity, parts: Sequence[float]) -> Look:
    """At the first seed's capacity, and at `parts` of it."""
    load, seed = question.load(), question.seeds[0]
    few = Trials(question, load, entrant, looked_at)
    points = [point(few.observe(part * at.rate, seed), part * at.rate, question.classes) for part in parts]
    seen = Trials(question, load, entrant, judged).observe(at.rate, seed)  # as it was judged
    points.append(point(seen, at.rate, question.classes))
    return Look(tuple(points), spent(seen), binds(seen, entrant.candidate))


def beside(question: Question, pair: Sequence[Entrant]) -> tuple[Layout, ...]:
    """Both at the same rate, one that the weaker should hold."""
    rate = both_hold * min(entrant.estimate.rate for entrant in pair)
    load, seed = question.load(), question.seeds[0]
    layouts = []
    for entrant in pair:
        seen = Trials(question, load, entrant, looked_at).observe(rate, seed)
        found = point(seen, rate, question.classes)
        layouts.append(Layout(entrant.candidate, found, spent(seen), strain(seen.report, question)))
    return tuple(layouts)
