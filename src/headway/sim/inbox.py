"""Arrivals on a virtual clock: instead of blocking, waiting moves the clock to whatever comes first."""

from collections import deque
from collections.abc import Iterable

from headway.clock import VirtualClock
from headway.core.types import Letter
from headway.sim.executor import SimExecutor


class VirtualInbox:
    """`letters`: (when it is due, letter), in order of time."""

    def __init__(
        self, clock: VirtualClock, executor: SimExecutor, letters: Iterable[tuple[float, Letter]]
    ) -> None:
        self._clock = clock
        self._executor = executor
        self._letters = deque(letters)

    def take(self, now: float) -> list[Letter]:
        due = []
        while self._letters and self._letters[0][0] <= now:
            due.append(self._letters.popleft()[1])
        return due

    def wait(self, until: float | None) -> bool:
        """Closed once no letter is left, no batch runs, and nobody asked to be woken."""
        next_letter_s = self._letters[0][0] if self._letters else None
        times = [t for t in (next_letter_s, self._executor.next_done_s, until) if t is not None]
        if not times:
            return False
        self._clock.move_to(min(times))
        return True
