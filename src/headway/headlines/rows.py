"""What is printed of an experiment: a claim, where it stands, what comes out here, how far apart they are."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

Claimed = float | tuple[float, float] | None  # a number, a range, or nothing was stated


@dataclass(frozen=True, slots=True)
class Row:
    id: str
    claim: str  # in words, with its number
    source: str
    ours: float
    unit: str  # of `ours`; "" for a ratio
    claimed: Claimed = None
    fitted: bool = False  # a parameter was fitted on it: met, not predicted
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours to what is claimed: of a range the nearer end, 1 within it. None: nothing to compare."""
        if self.claimed is None:
            return None
        low, high = self.claimed if isinstance(self.claimed, tuple) else (self.claimed, self.claimed)
        return self.ours / min(max(self.ours, low), high)

    def as_json(self) -> dict[str, object]:
        ratio = self.ratio
        row: dict[str, object] = {
            "id": self.id,
            "claim": self.claim,
            "source": self.source,
            "ours": round(self.ours, 4),
            "ratio": None if ratio is None else round(ratio, 3),
            "unit": self.unit,
        }
        if self.claimed is not None:
            row["claimed"] = self.claimed
        if self.fitted:
            row["fitted"] = True
        if self.note:
            row["note"] = self.note
        return row


class Effort(NamedTuple):
    """How much is simulated."""

    quick: bool
    requests: int  # of an open-loop run
    seeds: tuple[int, ...]  # where a claim is judged
    tolerance: float  # of a capacity: it is bisected to a factor of 1 + this


FULL = Effort(quick=False, requests=2048, seeds=(1, 2, 3), tolerance=0.025)
QUICK = Effort(quick=True, requests=512, seeds=(1,), tolerance=0.05)


class Job(NamedTuple):
    """A part of an experiment that runs in a process of its own."""

    label: str  # what runs now, in a few words; no other job's
    work: float  # how long it takes beside the others, roughly: the longest begin first
    run: Callable[[], list[Row]]
