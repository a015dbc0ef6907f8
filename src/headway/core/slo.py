"""What is promised to a class of requests, and the deadlines that follow: one contract for admission,
policies, metrics, the load generator, the simulator and reports. Knows no sequences and no steps."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from typing import NamedTuple


class Overload(StrEnum):
    """What becomes of a request whose first token would come too late."""

    ACCEPT = "accept"  # it is served all the same, after those that can still be in time
    REFUSE = "refuse"  # 429, with when to come again
    DOWNGRADE = "downgrade"  # it is served as `downgrade_to`, and counts for the class it asked for


class Targets(NamedTuple):
    """Seconds, above 0; None: no such promise."""

    ttft_s: float | None = None  # arrival to first token
    itl_s: float | None = None  # between neighbouring tokens: of 95 in 100 gaps of a request
    deadline_s: float | None = None  # arrival to last token

    def replaced(self, own: "Targets") -> "Targets":
        """With a request's own in their place; where there is no target, none is made."""
        pairs = zip(self, own, strict=True)
        return Targets(*(mine if mine is None or its is None else its for mine, its in pairs))


NO_TARGETS = Targets()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceClass:
    """A class of requests. Raises ValueError: none exists that contradicts itself."""

    name: str
    level: int = 0  # 0 is served first; a request gives way to every one of a lower number
    ttft_p95_s: float | None = None
    itl_p95_s: float | None = None
    deadline_s: float | None = None
    weight: float = 1.0  # within a level, where not all can be in time: what a miss of this class costs
    on_overload: Overload = Overload.ACCEPT
    downgrade_to: str | None = None
    max_wait_s: float | None = None  # its first slice by then, or it ends as expired

    def __post_init__(self) -> None:
        for name in ("ttft_p95_s", "itl_p95_s", "deadline_s", "max_wait_s", "weight"):
            value = getattr(self, name)
            if value is not None and not 0 < value < inf:
                raise ValueError(f"class {self.name}: {name} is {value}; it must be above 0 and finite")
        if not 0 <= self.level <= 99:
            raise ValueError(f"class {self.name}: level is {self.level}; it must be from 0 to 99")
        if (self.on_overload is Overload.DOWNGRADE) != (self.downgrade_to is not None):
            raise ValueError(f"class {self.name}: a downgrade names its target class, nothing else does")
        if self.downgrade_to == self.name:
            raise ValueError(f"class {self.name} cannot be downgraded to itself")

    @property
    def targets(self) -> Targets:
        return Targets(self.ttft_p95_s, self.itl_p95_s, self.deadline_s)


CHAT = ServiceClass(name="chat", ttft_p95_s=0.3, itl_p95_s=0.1)
INTERACTIVE = ServiceClass(name="interactive", ttft_p95_s=0.5, deadline_s=2.0)
BATCH = ServiceClass(name="batch", level=10)
BUILT_IN: Mapping[str, ServiceClass] = {c.name: c for c in (CHAT, INTERACTIVE, BATCH)}

aged_share = 0.7  # of max_wait_s: who has no token by then comes before everyone else
fewest_left = 4.0  # tokens: a stream ahead of its deadline may use up at most a fourth of that at a time
deadline_share = 0.95  # of a deadline that is planned with; the rest is for what nobody foresees


def first_due_s(targets: Targets, arrival_s: float, decode_s: float) -> float:
    """When the first token must be there, if the rest of the answer takes `decode_s`. inf: no promise."""
    last_due_s = arrival_s + deadline_share * (targets.deadline_s or inf)
    return min(arrival_s + (targets.ttft_s or inf), last_due_s - decode_s)


def pace_s(targets: Targets, expected_tokens: float) -> float:
    """The gap between tokens that keeps the promise, when nothing has been banked. inf: no promise."""
    return min(targets.itl_s or inf, deadline_share * (targets.deadline_s or inf) / max(expected_tokens, 1.0))


def next_due_s(targets: Targets, arrival_s: float, last_s: float, left: float) -> float:
    """When the token after the one at `last_s` must be there, if `left` more are expected. inf: no promise.
    Gaps are not banked; the time until a deadline is spread evenly over what is left, or `fewest_left`."""
    left_s = arrival_s + deadline_share * (targets.deadline_s or inf) - last_s
    return last_s + min(targets.itl_s or inf, max(left_s, 0.0) / max(left, fewest_left))


def is_missed(targets: Targets, arrival_s: float, first_s: float | None, now: float) -> bool:
    """Whether a target is missed for good: the first token came, or would now come, too late; or the last."""
    ttft_s = (now if first_s is None else first_s) - arrival_s
    return ttft_s > (targets.ttft_s or inf) or now - arrival_s > (targets.deadline_s or inf)
