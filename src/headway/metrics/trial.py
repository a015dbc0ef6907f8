"""Whether a live change made promises worse: each class's attainment before and after it, by one yardstick.

Owns the statistic of docs/definitions.md. Pure; what follows from it is for whoever asks.
"""

from collections.abc import Mapping, Sequence
from math import comb, inf
from typing import NamedTuple

from headway.core.slo import NO_TARGETS, ServiceClass, Targets
from headway.metrics.promises import Outcome, Share

by_chance = 1e-3  # a fall that chance brings about more often than this is none
at_once_by_chance = 1e-5  # while the window runs: one looks at it often
_rounding = 1e-9

OUTCOMES = ("kept", "replaced", "rolled_back")  # of live changes

Classes = Mapping[str, ServiceClass]


class Rule(NamedTuple):
    """When a change is taken back."""

    window_s: float = 60.0
    tolerance: float = 0.05  # of attainment, 0 to 1


class Stretch(NamedTuple):
    """A time in which one thing was in force, and what came of requests, by class: those that ended lately,
    and of those that are open at its end how far they have come."""

    since_s: float
    until_s: float
    outcomes: Mapping[str, Sequence[Outcome]]

    def share(self, name: str, targets: Targets, window_s: float = inf) -> Share:
        """Of a class, those that ended in it, in its last `window_s`, or are open."""
        since_s = max(self.since_s, self.until_s - window_s)
        outcomes = self.outcomes.get(name, ())
        verdicts = [each.verdict(targets) for each in outcomes if since_s < each.at_s <= self.until_s]
        return Share(sum(v.counts for v in verdicts), sum(v.is_good for v in verdicts))


class Compared(NamedTuple):
    name: str
    before: Share
    after: Share

    @property
    def tells(self) -> bool:
        """Whether there were enough requests to see it if none of those after had been good."""
        return chance(self.before, Share(self.after.requests, 0)) < by_chance

    def fell(self, tolerance: float, by_chance: float = by_chance) -> bool:
        """By more than is tolerated, and by more than chance explains."""
        before, after = self.before.attainment, self.after.attainment
        if before is None or after is None or before - after <= tolerance + _rounding:
            return False
        return chance(self.before, self.after) < by_chance


def chance(before: Share, after: Share) -> float:
    """How often so few good ones, or fewer, are among those after if nothing has changed: Fisher's exact
    test, one-sided."""
    good = before.good + after.good
    ways = (
        comb(after.requests, n) * comb(before.requests, good - n) for n in range(after.good + 1) if n <= good
    )
    return sum(ways) / comb(before.requests + after.requests, good)


def yardstick(old: ServiceClass, new: ServiceClass) -> Targets:
    """The later of each target, none where either promises nothing.

    So neither a tighter target nor a looser one moves attainment by itself.
    """
    pairs = zip(old.targets, new.targets, strict=True)
    return Targets(*(None if a is None or b is None else max(a, b) for a, b in pairs))


def compare(before: Stretch, after: Stretch, old: Classes, new: Classes, window_s: float) -> list[Compared]:
    """Of each class that promised something before and does now: the window before, and all that is after."""
    found = []
    for name in old:
        if name not in new or (targets := yardstick(old[name], new[name])) == NO_TARGETS:
            continue
        then = before.share(name, targets, window_s)
        found.append(Compared(name, then, after.share(name, targets)))
    return found
