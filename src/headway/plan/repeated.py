"""A trace without an end: begun anew whenever it is over, by every seed at a place of its own."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from random import Random

from headway.bench.traces import Trace
from headway.bench.workload import Arrival, Prefix


@dataclass(frozen=True, slots=True)
class Repeated:
    """A Load. What a prompt begins with is another text in every round, so that none is found cached for
    having been there a round ago. Raises ValueError for a trace whose requests all come at once.
    """

    trace: Trace

    def __post_init__(self) -> None:
        if not self.trace.span_s:
            raise ValueError("all its requests come at once, so it has no rate")

    def arrivals(self, rate: float, seed: int, until_s: float) -> Iterator[Arrival]:
        round_s = len(self.trace.requests) / rate
        begin_s = Random(f"{seed}/begin").random() * round_s
        for number in count():
            at_s = number * round_s - begin_s
            if at_s >= until_s:
                return
            for one in self.trace.arrivals(rate, seed, until_s - at_s):
                if one.at_s + at_s >= 0:
                    yield one._replace(at_s=one.at_s + at_s, prefix=_other(one.prefix, number))


def _other(prefix: Prefix | None, number: int) -> Prefix | None:
    if prefix is None or not number:
        return prefix
    return prefix._replace(hashes=array("Q", [digest ^ number for digest in prefix.hashes]))
