"""Whom a refusal told when to come again: then their work keeps newcomers out, so that they find room.
How many do come is learned: those who never return keep nobody out for long."""

from array import array
from bisect import insort
from hashlib import sha256
from math import ceil, inf
from typing import NamedTuple

booked_share = 0.8  # of the machine's time, for those who were told
most_booked, longest_wait_s = 512, 120  # OpenAI's clients believe in nothing longer
patience_s = 2.0  # so much sooner or later than it was told to one is still known
learned_of_each = 0.05


class Booking(NamedTuple):
    at_s: float
    level: int
    work_s: float  # until its first token
    mark: bytes  # of its prompt: whoever brings the same one has come again


class Bookings:
    def __init__(self) -> None:
        self._due: list[Booking] = []  # in order of time
        self._returning = 1.0  # the share of them

    def book(self, now: float, wait_s: float, level: int, work_s: float, prompt: "array[int]") -> float:
        """In how many seconds to come again, `wait_s` at least: a whole number of them."""
        ahead_s = self.seconds(level, inf)
        told_s = float(max(1, min(ceil(wait_s + ahead_s / booked_share), longest_wait_s)))
        if len(self._due) < most_booked:
            insort(self._due, Booking(now + told_s, level, work_s, sha256(prompt).digest()))
        return told_s

    def forget(self, now: float) -> None:
        while self._due and self._due[0].at_s < now - patience_s:
            self._due.pop(0)
            self._returning -= learned_of_each * self._returning

    def take_up(self, prompt: "array[int]", now: float) -> bool:
        """Whether one with this prompt was told to come now; it has come."""
        mark = sha256(prompt).digest()
        mine = [b for b in self._due if b.mark == mark and abs(b.at_s - now) <= patience_s]
        for booking in mine[:1]:
            self._due.remove(booking)
            self._returning += learned_of_each * (1.0 - self._returning)
        return bool(mine)

    def seconds(self, level: int, until_s: float) -> float:
        """Of work that is expected by then, and not junior to a newcomer of this level."""
        return self._returning * sum(b.work_s for b in self._due if b.at_s <= until_s and b.level <= level)
