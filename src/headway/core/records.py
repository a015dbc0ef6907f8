"""What each class has lately had: how long its answers were, how many of its gaps were too long.

Owns these sums and what follows from them and the forecast: which targets no load would meet. Knows no
sequences.
"""

from collections import deque
from collections.abc import Iterable
from math import inf

from headway.core.forecast import Forecast, Load
from headway.core.slo import ServiceClass, Targets

kept_outputs = 128  # of the last answers, for their 90th percentile
first_output = 256.0  # tokens; before any answer has ended
half_life_gaps = 400.0  # so many gaps on, what was seen counts half
bare_context = 64  # of the lightest decode there is
surely_over = 1.05  # a target is infeasible from this share of it on, and feasible again below it


class Record:
    """Of one class."""

    def __init__(self) -> None:
        self._outputs: deque[int] = deque(maxlen=kept_outputs)
        self.output_p90 = first_output
        self.answers = 0
        self.gaps = self.late = 0.0
        self.seen_s = -inf  # when its last request came

    def ended(self, output_tokens: int) -> None:
        self.answers += 1
        self._outputs.append(output_tokens)
        ranked = sorted(self._outputs)
        self.output_p90 = float(ranked[int(0.9 * (len(ranked) - 1) + 0.5)])

    def gap(self, late: bool) -> None:
        self.gaps += 1.0
        self.late += late
        if self.gaps > half_life_gaps:
            self.gaps *= 0.5
            self.late *= 0.5

    @property
    def late_share(self) -> float:
        return self.late / self.gaps if self.gaps else 0.0


def infeasible(service_class: ServiceClass, forecast: Forecast, record: Record) -> Iterable[str]:
    """Its targets that an idle engine misses: below one bare decode step, or below an answer of such steps."""
    bare_s = forecast.seconds(Load(1, 1, bare_context, 0))
    targets = service_class.targets
    needed = Targets(bare_s, bare_s, bare_s * (record.output_p90 if record.answers else 1.0))
    for name, target_s, needed_s in zip(("ttft", "itl", "deadline"), targets, needed, strict=True):
        if needed_s > surely_over * (inf if target_s is None else target_s):
            yield name
