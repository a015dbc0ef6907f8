"""Whether a rate is held, told as soon as it is certain; requests of the warm-up are judged apart.

While the batch fills it is easier to be in time than later: who misses too much then has lost already, and
who does not has shown nothing.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from headway.bench.report import Answer, Report, report
from headway.bench.workload import Arrival
from headway.core.slo import ServiceClass
from headway.core.types import Finished, Refused
from headway.sim.capacity import attained
from headway.sim.judge import Judge

_mark = " (warm-up)"  # no class has such a name


def apart(arrivals: Sequence[Arrival], until_s: float) -> list[Arrival]:
    """As a judge sees them: those of the warm-up in classes of their own."""
    return [a._replace(service_class=a.service_class + _mark) if a.at_s < until_s else a for a in arrivals]


def with_warm_up(classes: Mapping[str, ServiceClass]) -> dict[str, ServiceClass]:
    return {**classes, **{name + _mark: replace(of, name=name + _mark) for name, of in classes.items()}}


def later(answers: Sequence[Answer], classes: Mapping[str, ServiceClass], window_s: float) -> Report:
    """Of those that came after the warm-up; of all, where it did not come that far."""
    judged = [answer for answer in answers if not answer.service_class.endswith(_mark)]
    if not any(answer.stamps for answer in judged):
        judged = [replace(a, service_class=a.service_class.removesuffix(_mark)) for a in answers]
    return report(judged, classes, window_s)


class Verdict(Judge):
    """A judge who also ends a run when all that are open may miss without making a difference."""

    def __init__(
        self,
        arrivals: Sequence[Arrival],
        classes: Mapping[str, ServiceClass],
        warm_up_s: float,
        window_s: float,
    ) -> None:
        super().__init__(apart(arrivals, warm_up_s), with_warm_up(classes), window_s, 1 - attained)
        self._classes, self._window_s = classes, window_s
        self._waited_for = Counter(a.service_class for a in self._judged if a.at_s >= warm_up_s)
        self._certain = all(any(t is not None for t in classes[name].targets) for name in self._waited_for)

    @property
    def undecided(self) -> bool:
        return super().undecided and not self._held

    @property
    def _held(self) -> bool:
        """Of a class without targets nothing is certain before the end."""
        left = self._left
        return self._certain and all(waiting <= left[name] for name, waiting in self._waited_for.items())

    def finished(self, event: Finished) -> None:
        self._ends_one(event.request_id)

    def refused(self, event: Refused) -> None:
        self._ends_one(event.request_id)

    def _ends_one(self, id: int) -> None:
        if id < len(self._judged) and (name := self._judged[id].service_class) in self._waited_for:
            self._waited_for[name] -= 1

    def report(self) -> Report:
        """What is still open counts as missed."""
        return later(self.answers(), self._classes, self._window_s)
