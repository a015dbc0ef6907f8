"""Where one sequence's time went: every nanosecond since its arrival is booked once, for one share."""

from headway.core.types import Shares

QUEUE, PREFILL, INTERFERENCE, DECODE, PREEMPTION, HOST = range(len(Shares._fields))  # in their order


def to_ns(seconds: float) -> int:
    return round(seconds * 1e9)


class Account:
    __slots__ = ("spent_ns", "until_ns")

    def __init__(self, arrival_s: float, now: float) -> None:
        """Until it reached the scheduler its time is the host's: reading, tokenizing, the bridge."""
        self.spent_ns = [0] * len(Shares._fields)
        self.until_ns = to_ns(arrival_s)  # up to here all is booked
        self.book(HOST, to_ns(max(arrival_s, now)))

    def book(self, share: int, until_ns: int) -> None:
        if until_ns > self.until_ns:
            self.spent_ns[share] += until_ns - self.until_ns
            self.until_ns = until_ns

    def book_step(self, share: int, own_share: float, end_ns: int) -> None:
        """`own_share`, 0 to 1: as much of the step as it would have taken without others' prompts."""
        if own_share < 1.0:
            self.book(share, self.until_ns + int((end_ns - self.until_ns) * own_share))
            share = INTERFERENCE
        self.book(share, end_ns)
