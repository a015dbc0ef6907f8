"""From many settings to the few that are worth the machine's time, and from those to one.

Owns the order of the trials and the judgement; what a trial is, simulated or real, is a function that it is
given.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from headway.bench.fields import BadWorkload
from headway.sim.capacity import attained, capacity, completed
from headway.tune.settings import Tuned, near

first_kept, neighbours_of = 8, 3
first_draws, later_draws = 1, 2
climbs = 3  # times that what lies near the best is tried
share_of_idle = 0.95  # of what an idle machine keeps, where even that is less than `attained`
idle_rate, most_rate = 0.02, 1000.0  # requests per second: nobody else is in the way; all come at once
alike = 0.03  # of the best goodput that was measured: nearer ones are told apart by simulation


class Score(NamedTuple):
    """Of a trial, or of several taken together."""

    goodput: float  # requests per second that met every target; tokens per second where all is there at once
    attainment: float  # of the class that fares worst among those with targets
    completion: float = 1.0  # of the tokens asked for without a target
    beyond: float = 0.0  # goodput at a higher rate; 0: not tried

    @property
    def rank(self) -> tuple[bool, float]:
        """What starves those without a promise is no way to keep the others' promises."""
        return self.completion >= completed, self.goodput + self.beyond


class Scored(NamedTuple):
    tuned: Tuned
    score: Score


Try = Callable[[Tuned, float, int], Score]
"""Settings, at this rate, drawn so many times."""


def best_first(tried: Iterable[Scored]) -> list[Scored]:
    """The simpler ones, tried first, where nothing tells them apart."""
    return sorted(tried, key=lambda each: each.score.rank, reverse=True)


def largest_rate(leaders: Sequence[Tuned], guess: float, attempt: Try) -> float:
    """The most that one of them holds; where they keep too little on an idle machine, as much of that. Raises
    BadWorkload where that is nothing, or where no rate is too much.
    """

    def kept(rate: float) -> float:
        scores = (attempt(each, rate, first_draws) for each in leaders)
        return max((score.attainment for score in scores if score.completion >= completed), default=0.0)

    need = min(attained, share_of_idle * kept(idle_rate))
    if not need:
        raise BadWorkload("an idle machine keeps these promises for nobody; loosen --class, or give --rate")

    def can(rate: float) -> bool:
        if rate > most_rate:
            raise BadWorkload("the promises hold however many ask; tighten --class, or give --rate")
        return kept(rate) >= need

    return capacity(can, guess, tolerance=0.05)


def rough(entrants: Sequence[Tuned], rate: float, attempt: Try) -> list[Scored]:
    return best_first(Scored(each, attempt(each, rate, first_draws)) for each in entrants)


def refined(leaders: Sequence[Scored], rate: float, attempt: Try) -> list[Scored]:
    """The leaders, drawn more often, and what lies near the best of them, `climbs` times uphill."""
    found: dict[Tuned, Score] = {}
    entrants = [leader.tuned for leader in leaders[:first_kept]]
    for _ in range(1 + climbs):
        new = [each for each in dict.fromkeys(entrants) if each not in found]
        found |= {each: attempt(each, rate, later_draws) for each in new}
        ranked = best_first(Scored(*item) for item in found.items())
        entrants = [each for scored in ranked[:neighbours_of] for each in near(scored.tuned)]
    return ranked


def finalists(ranked: Sequence[Scored], usual: Tuned, count: int) -> list[Tuned]:
    """`count` of the best, and what there is without tuning."""
    return list(dict.fromkeys([*(each.tuned for each in ranked[:count]), usual]))


def chosen(measured: Sequence[Scored], predicted: Mapping[Tuned, Score]) -> Tuned:
    """The best predicted of those that did as well as the best, as far as so short a measurement can tell."""
    top = best_first(measured)[0].score
    level = [m for m in measured if m.score.rank >= (top.rank[0], (1.0 - alike) * top.rank[1])]
    return max(level, key=lambda each: predicted[each.tuned].rank).tuned
