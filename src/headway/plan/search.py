"""The searches, each a job of its own: a device's best candidate, its capacity by seeds, TP beside PP.

Each makes its own load and depends on nothing but its arguments, so that it does not matter where or in which
order they run.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from headway.plan.candidates import Refused
from headway.plan.measured import Point, Spent, binds, point, spent
from headway.plan.question import Candidate, Question
from headway.plan.trials import Missed, Trials, strain
from headway.sim.capacity import capacity

race_requests, race_step = 150, 0.05  # judged in a run; to lead is to be so much cheaper
judged_requests, tolerance = 300, 0.025  # where a capacity is searched for, to a factor of 1 + `tolerance`
hopeless = 0.7  # times the cheapest estimate's requests per dollar: below it no run is made
usually_held = 0.75  # of an estimate: the search begins there
lowest = 0.1  # of where a search begins: what is not held there is not held
loads = (0.4, 0.7)  # of the capacity: what a shorter wait costs


class Entrant(NamedTuple):
    candidate: Candidate
    estimate: float  # requests per second, as `estimated_rate` has it


class Raced(NamedTuple):
    winner: Candidate | None  # None: none holds the promise at any rate
    rate: float  # that it held, on the first seed, to `race_step`
    refused: tuple[Refused, ...]  # all others


class Capacity(NamedTuple):
    """Of one seed."""

    rate: float  # requests per second; 0: none is held
    missed: Missed | None  # at the next rate above
    binds: str
    spent: Spent
    points: tuple[Point, ...]  # at `loads`, if they were asked for, and at the capacity


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
    ordered = sorted(entrants, key=lambda entrant: question.bill(*entrant))
    cheapest, load, seed = question.bill(*ordered[0]), question.load(), question.seeds[0]
    leader, held, refused = None, 0.0, list[Refused]()

    def out(candidate: Candidate, why: str) -> None:
        refused.append(Refused(candidate.deployment.device.name, candidate.name, why))

    for candidate, estimate in ordered:
        trials = Trials(question, load, candidate, race_requests)
        guess: float | None = usually_held * estimate
        if leader is not None:
            if question.bill(candidate, estimate) * hopeless > cheapest:
                out(candidate, f"not run: by estimate {_dearer(question, candidate, estimate, cheapest)}")
                continue
            guess = question.rate_for(candidate, question.bill(leader, held) / (1 + race_step))
            if guess is None or not trials.hold(guess, seed):
                out(candidate, _lost(guess, trials.missed))
                continue
        assert guess is not None
        found = capacity(partial(_hold, trials, seed), guess, race_step, 1.2, lowest * guess)
        if not found:
            out(candidate, f"{trials.missed} is missed at every rate")
            continue
        if leader is not None:
            out(leader, f"it holds {held:.3g} requests/s, for more money each than {candidate.name}")
        leader, held = candidate, found
    return Raced(leader, held, tuple(refused))


def _hold(trials: Trials, seed: int, rate: float) -> bool:
    return trials.hold(rate, seed)


def _dearer(question: Question, candidate: Candidate, estimate: float, cheapest: float) -> str:
    return f"each request costs {question.bill(candidate, estimate) / cheapest:.2g} times the best's"


def _lost(rate: float | None, missed: Missed | None) -> str:
    if rate is None:
        return "one replica costs more than all that the best needs"
    return f"to be the cheapest it must hold {rate:.3g} requests/s, and {missed} is missed there"


def find_capacity(question: Question, candidate: Candidate, guess: float, seed: int) -> Capacity:
    """By bisection around `guess`. The first seed looks at lower loads, too."""
    trials = Trials(question, question.load(), candidate, judged_requests)
    found = capacity(partial(_hold, trials, seed), guess, tolerance, 1.08, lowest * guess)
    rate = found or guess
    run = trials.observe(rate, seed)
    lower = loads if seed == question.seeds[0] and found else ()
    points = [point(trials.observe(part * rate, seed), part * rate, question.classes) for part in lower]
    last = point(run, rate, question.classes)
    return Capacity(found, trials.missed, binds(run, candidate), spent(run), (*points, last))


def beside(question: Question, pair: Sequence[Entrant]) -> tuple[Layout, ...]:
    """Both at the same rate, one that the weaker should hold."""
    rate = usually_held * min(entrant.estimate for entrant in pair)
    load, seed = question.load(), question.seeds[0]
    layouts = []
    for candidate, _ in pair:
        run = Trials(question, load, candidate, race_requests).observe(rate, seed)
        found = point(run, rate, question.classes)
        layouts.append(Layout(candidate, found, spent(run), strain(run.report, question)))
    return tuple(layouts)
