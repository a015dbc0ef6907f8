"""Whom a refusal told when to come again: then their work keeps newcomers out, so that they find room.
How many do come is learned: those who never return keep nobody out for long."""

from collections import deque
from itertools import takewhile
from math import ceil
from typing import NamedTuple

booked_share = 0.8  # of the machine's time, for those who were told
most_booked = 4096
patience_s = 2.0  # so much later than it was told to one is still expected
learned_of_each = 0.05


class Booking(NamedTuple):
    at_s: float
    level: int
    work_s: float  # until its first token


class Bookings:
    def __init__(self) -> None:
        self._due: deque[Booking] = deque(maxlen=most_booked)
        self._free_s = 0.0  # from here on nothing is booked
        self._returning = 1.0  # the share of them

    def book(self, now: float, earliest_s: float, level: int, work_s: float) -> float:
        """In how many seconds to come again: a whole number of them."""
        free_s = max(earliest_s, self._free_s)
        self._free_s = free_s + self._returning * work_s / booked_share
        wait_s = float(max(1, ceil(free_s - now)))
        self._due.append(Booking(now + wait_s, level, work_s))
        return wait_s

    def take_up(self) -> None:
        """One has come again."""
        self._returning += learned_of_each * (1.0 - self._returning)
        if self._due:
            self._due.popleft()

    def seconds(self, level: int, now: float, until_s: float) -> float:
        """Of work that is expected by then, and not junior to a newcomer of this level."""
        while self._due and self._due[0].at_s < now - patience_s:
            self._due.popleft()
            self._returning -= learned_of_each * self._returning
        near = takewhile(lambda booking: booking.at_s <= until_s, self._due)
        return self._returning * sum(b.work_s for b in near if b.level <= level)
