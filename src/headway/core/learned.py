"""What steps and answers have taught: how long a step takes, and of each class how long its answers are, how
many of its gaps came late, which of its targets no load would meet. Knows no sequences."""

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from math import inf

from headway.core.forecast import Forecast, Load, Profile, reviewed_every
from headway.core.slo import ServiceClass, pace_s

kept_outputs = 128  # of the last answers, for their 90th percentile
first_output = 256.0  # tokens; before any answer has ended
half_life_gaps = 100.0  # so many gaps on, what was seen counts half
bare = Load(1, 1, 64, 0)  # the lightest decode there is
surely_over, surely_under = 1.05, 0.95  # shares of a target: infeasible from the one on, until the other


class Record:  # of one class
    def __init__(self) -> None:
        self.output_p90 = first_output
        self.shortest_output = 1.0  # what an answer surely has
        self.seen_s = -inf  # when its last request came
        self._outputs: deque[int] = deque(maxlen=kept_outputs)
        self._gaps = self._late = 0.0

    def answer(self, output_tokens: int) -> None:
        self._outputs.append(output_tokens)
        ranked = sorted(self._outputs)
        self.output_p90 = self.shortest_output = float(ranked[int(0.9 * (len(ranked) - 1) + 0.5)])

    def gap(self, late: bool) -> None:
        self._gaps += 1.0
        self._late += late
        if self._gaps > half_life_gaps:
            self._gaps *= 0.5
            self._late *= 0.5

    @property
    def late_share(self) -> float:
        return self._late / self._gaps if self._gaps else 0.0


class Learned:
    def __init__(self, classes: Mapping[str, ServiceClass], profile: Profile) -> None:
        self.forecast = Forecast(profile)
        self.records: defaultdict[str, Record] = defaultdict(Record)
        self.known: dict[str, ServiceClass] = {}  # also what is no more: who asked for it may yet come
        self.retune(classes)
        self.infeasible: tuple[tuple[str, str], ...] = ()  # (class, target)
        self.steps = 0
        self.last_step_s = self.least_gap_s = 0.0  # no stream is kept to less than the latter

    def retune(self, classes: Mapping[str, ServiceClass]) -> None:
        self.classes = classes
        self.known |= classes

    def observe(self, load: Load, step_s: float) -> None:
        self.forecast.observe(load, step_s)
        self.steps += 1
        self.last_step_s = step_s
        if self.steps % reviewed_every == 0:
            bare_s = self.forecast.seconds(bare)
            self.least_gap_s = bare_s / surely_over
            self.infeasible = tuple(pair for name in self.classes for pair in self._infeasible(name, bare_s))

    def _infeasible(self, name: str, bare_s: float) -> Iterator[tuple[str, str]]:
        """Its targets that an idle engine misses: below a bare decode step, or an answer of such steps."""
        needed = (bare_s, bare_s, bare_s * self.records[name].shortest_output)
        names = ("ttft", "itl", "deadline")
        for target, least_s, s in zip(names, needed, self.classes[name].targets, strict=True):
            over = surely_under if (name, target) in self.infeasible else surely_over
            if least_s > over * (s or inf):
                yield name, target

    def pace_s(self, name: str) -> float:
        """The gap between tokens that keeps a class's promise. inf: it has none, or one nobody can keep."""
        if (name, "itl") in self.infeasible:
            return inf
        return pace_s(self.known[name].targets, self.records[name].output_p90)
