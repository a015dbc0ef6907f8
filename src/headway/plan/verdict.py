"""Whether a rate is held, told as soon as it is certain; the requests of a warm-up do not count."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from headway.bench.report import Report, report
from headway.bench.workload import Arrival
from headway.core.slo import ServiceClass
from headway.core.types import Finished, Refused
from headway.sim.capacity import attained
from headway.sim.judge import Judge

_warm_up = "warm-up"  # no class can be named so while it has targets: it has none


def unjudged(arrivals: Sequence[Arrival], until_s: float) -> list[Arrival]:
    """As a judge sees them: the first ones belong to a class that is promised nothing."""
    return [a._replace(service_class=_warm_up) if a.at_s < until_s else a for a in arrivals]


def with_warm_up(classes: Mapping[str, ServiceClass]) -> dict[str, ServiceClass]:
    return {**classes, _warm_up: ServiceClass(name=_warm_up)}


def without_warm_up(whole: Report) -> Report:
    return replace(whole, classes={name: line for name, line in whole.classes.items() if name != _warm_up})


class Verdict(Judge):
    """A judge who also ends a run when all that are open may miss without making a difference."""

    def __init__(
        self,
        arrivals: Sequence[Arrival],
        classes: Mapping[str, ServiceClass],
        warm_up_s: float,
        window_s: float,
    ) -> None:
        self._classes = with_warm_up(classes)
        super().__init__(unjudged(arrivals, warm_up_s), self._classes, window_s, 1 - attained)
        self._window_s = window_s
        self._waited_for = Counter(a.service_class for a in self._judged)
        promised = (name for name, targets in self._targets.items() if any(t is not None for t in targets))
        self._promised = [name for name in promised if self._waited_for[name]]

    @property
    def undecided(self) -> bool:
        return super().undecided and not self._held

    @property
    def _held(self) -> bool:
        """Never so where a class has no targets: what of it is done is known at the end."""
        if len(self._promised) + (_warm_up in self._waited_for) < len(self._waited_for):
            return False
        return all(self._waited_for[name] <= self._left[name] for name in self._promised)

    def finished(self, event: Finished) -> None:
        self._ends_one(event.request_id)

    def refused(self, event: Refused) -> None:
        self._ends_one(event.request_id)

    def _ends_one(self, id: int) -> None:
        if id < len(self._judged):
            self._waited_for[self._judged[id].service_class] -= 1

    def report(self) -> Report:
        """What is still open counts as missed."""
        return without_warm_up(report(self.answers(), self._classes, self._window_s))
