"""The four ports that join the core to a world: contracts only (`tests/contracts` tries every executor)."""

from collections.abc import Sequence
from typing import Protocol

from headway.core.types import Batch, Event, Letter, Result


class Clock(Protocol):
    def now(self) -> float:
        """Seconds. Virtual time moves only when told to."""


class Inbox(Protocol):
    def take(self, now: float) -> Sequence[Letter]:
        """Letters that are due, in order, each once; of many perhaps only the first. Never blocks."""

    def wait(self, until: float | None) -> bool:
        """Return on a letter, the completion of the oldest batch, or at `until` (None: no limit).
        False: closed, and nothing is left to take."""


class Executor(Protocol):
    depth: int  # how many batches may be in flight
    exclusive: bool  # a sequence may be in one batch at a time (a pipeline)

    def submit(self, batch: Batch) -> None:
        """Start a batch and return at once. Batches run in the order given. A sequence that failed fails
        again in every later batch, until it is gone."""

    def collect(self) -> Result | None:
        """The oldest batch's result if it is done, else None. Raises ExecutorDied when no more will come."""


class Sink(Protocol):
    def publish(self, now: float, events: Sequence[Event]) -> None:
        """Hand events over, in order. Never blocks on a reader."""


class ExecutorDied(Exception):
    """The executor can do no more work; every request it held is lost."""
