"""Arrivals on a virtual clock: instead of blocking, waiting moves the clock to whatever comes first."""

from collections.abc import Iterable

from headway.clock import VirtualClock
from headway.core.types import Letter
from headway.sim.executor import SimExecutor


class VirtualInbox:
    """`letters`: (when it is due, letter), in order of time. Each is asked for when the one before it is
    taken, so that a long workload need not be held whole.
    """

    def __init__(
        self, clock: VirtualClock, executor: SimExecutor, letters: Iterable[tuple[float, Letter]]
    ) -> None:
        self._clock = clock
        self._executor = executor
        self._letters = iter(letters)
        self._next = next(self._letters, None)

    def take(self, now: float) -> list[Letter]:
        due = []
        while self._next is not None and self._next[0] <= now:
            due.append(self._next[1])
            self._next = next(self._letters, None)
        return due

    def wait(self, until: float | None) -> bool:
        """Closed once no letter is left, no batch runs, and nobody asked to be woken."""
        next_letter_s = None if self._next is None else self._next[0]
        times = [t for t in (next_letter_s, self._executor.next_done_s, until) if t is not None]
        if not times:
            return False
        self._clock.move_to(min(times))
        return True
