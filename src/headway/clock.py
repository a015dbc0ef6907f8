"""Two clocks: the machine's, and one that moves only when told to. Seconds, as floats."""

import time


class MonotonicClock:
    """The same for all processes of a machine, never set back."""

    def now(self) -> float:
        return time.monotonic()


class VirtualClock:
    def __init__(self, start_s: float = 0.0) -> None:
        self._now_s = start_s

    def now(self) -> float:
        return self._now_s

    def move_to(self, at_s: float) -> None:
        """Forward only; a time that has passed is no move."""
        self._now_s = max(self._now_s, at_s)
