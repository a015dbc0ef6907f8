"""What steps and answers have taught: how long a step takes, and of each class how long its answers are, how
many of its gaps came late, which of its targets no load would meet. Knows no sequences."""

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from math import inf

from headway.core.forecast import Forecast, Load, Profile, reviewed_every
from headway.core.slo import ServiceClass, pace_s

kept_outputs, first_output = 128, 256.0  # answers, for their 90th percentile; tokens, before any has ended
tight = 1.2  # a pace nearer to the bare step governs nothing: to chase it would stop everyone else
bare, bare_gain = Load(1, 1, 64, 0), 0.1  # the lightest decode; how far a review moves what it takes
surely_over, surely_under = 1.05, 0.95  # shares of a target: infeasible from the one on, until the other


class Record:  # of one class
    def __init__(self) -> None:
        self.output_p90 = first_output
        self.shortest_output = 1.0  # of late
        self.seen_s = -inf  # when its last request came
        self._outputs: deque[int] = deque(maxlen=kept_outputs)
        self.gaps = self.late_gaps = 0  # since the start

    def answer(self, output_tokens: int) -> None:
        self._outputs.append(output_tokens)
        ranked = sorted(self._outputs)
        self.output_p90 = float(ranked[int(0.9 * (len(ranked) - 1) + 0.5)])
        self.shortest_output = float(ranked[0])

    def gap(self, s: float, most_s: float) -> bool:  # whether it came late
        if s < 2.0 * most_s:  # else a mishap, or meant: shorter steps would not mend it
            self.gaps += 1
            self.late_gaps += s > most_s
        return s > most_s


class Learned:
    def __init__(self, classes: Mapping[str, ServiceClass], profile: Profile) -> None:
        self.forecast = Forecast(profile)
        self.records: defaultdict[str, Record] = defaultdict(Record)
        self.known: dict[str, ServiceClass] = {}  # also what is no more: who asked for it may yet come
        self.retune(classes)
        self.infeasible: tuple[tuple[str, str], ...] = ()  # (class, target)
        self.steps, self.last_step_s = 0, 0.0
        self.bare_s = 0.0  # of the lightest step, a running mean: no stream is kept to less

    def retune(self, classes: Mapping[str, ServiceClass]) -> None:
        self.classes = classes
        self.known |= classes

    def observe(self, load: Load, step_s: float) -> None:
        self.forecast.observe(load, step_s)
        self.steps += 1
        self.last_step_s = step_s
        if self.steps % reviewed_every == 0:
            self.bare_s += (self.forecast.seconds(bare) - self.bare_s) * (bare_gain if self.bare_s else 1.0)
            self.infeasible = tuple(pair for name in self.classes for pair in self._infeasible(name))

    def _infeasible(self, name: str) -> Iterator[tuple[str, str]]:
        """Its targets that an idle engine misses: below a bare decode step, or an answer of such steps."""
        needed = (self.bare_s, self.bare_s, self.bare_s * self.records[name].shortest_output)
        names = ("ttft", "itl", "deadline")
        for target, least_s, s in zip(names, needed, self.classes[name].targets, strict=True):
            over = surely_under if (name, target) in self.infeasible else surely_over
            if least_s > over * (s or inf):
                yield name, target

    def pace_s(self, *names: str) -> float:
        """The gap between tokens that keeps these classes' promises. inf: none, or none anyone can keep."""
        gaps_s = (pace_s(self.known[name].targets, self.records[name].output_p90) for name in names)
        return min((gap_s for gap_s in gaps_s if gap_s > tight * self.bare_s), default=inf)
