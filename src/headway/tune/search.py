"""From many settings to the few that are worth the machine's time, and from those to one.

Owns the order of the trials; what a trial is, simulated or real, is a function that it is given.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from headway.sim.capacity import capacity
from headway.tune.settings import Tuned, near

first_kept, neighbours_of = 8, 3
first_draws, later_draws = 1, 3
idle_rate = 0.02  # requests per second that nobody else is in the way of
enough = 0.95  # of its requests that a class's promise is kept for
share_of_idle = 0.95  # of that which an idle machine keeps, where even that keeps too little


class Score(NamedTuple):
    """Of a trial: the more the better, the second where the first is the same."""

    goodput: float  # requests per second that met every target; tokens per second where all is there at once
    beyond: float  # the same at a higher rate
    attainment: float  # of the class that fares worst
    completion: float = 1.0  # of the tokens asked for without a target

    @property
    def rank(self) -> tuple[bool, float, float]:
        """What starves those without a promise is no way to keep the others' promises."""
        return self.completion >= 0.9, round(self.goodput, 3), self.beyond


class Scored(NamedTuple):
    tuned: Tuned
    score: Score


Try = Callable[[Tuned, float, int], Score]
"""Settings, at this rate, drawn so many times."""


def best_first(tried: Iterable[Scored]) -> list[Scored]:
    """The simpler ones, tried first, where nothing tells them apart."""
    return sorted(tried, key=lambda each: each.score.rank, reverse=True)


def largest_rate(leaders: Sequence[Tuned], guess: float, attempt: Try) -> float:
    """The most that one of them holds; where they keep too little on an idle machine, as much of that."""

    def kept(rate: float) -> Iterator[float]:
        scores = (attempt(each, rate, first_draws) for each in leaders)
        return (score.attainment for score in scores if score.rank[0])

    need = min(enough, share_of_idle * max(kept(idle_rate)))
    return capacity(lambda rate: any(share >= need for share in kept(rate)), guess, tolerance=0.05)


def rough(entrants: Sequence[Tuned], rate: float, attempt: Try) -> list[Scored]:
    return best_first(Scored(each, attempt(each, rate, first_draws)) for each in entrants)


def refined(leaders: Sequence[Scored], rate: float, attempt: Try) -> list[Scored]:
    """The leaders and what lies near the first of them, drawn more often."""
    beside = [each for leader in leaders[:neighbours_of] for each in near(leader.tuned)]
    entrants = dict.fromkeys([*(leader.tuned for leader in leaders[:first_kept]), *beside])
    return best_first(Scored(each, attempt(each, rate, later_draws)) for each in entrants)


def finalists(refined: Sequence[Scored], usual: Tuned, count: int) -> list[Tuned]:
    """`count` of the best, no two of them alike but for their blocks, and what there is without tuning."""
    chosen: dict[tuple[str, int, int], Tuned] = {}
    for each in refined:
        chosen.setdefault(each.tuned[:3], each.tuned)
    return list(dict.fromkeys([*list(chosen.values())[:count], usual]))
