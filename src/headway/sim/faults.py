"""What goes wrong in a run, drawn from its seed: steps that take longer, a rank that is lost, clients that
leave, requests that come all at once.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import cycle, islice
from math import inf, log
from random import Random
from typing import NamedTuple

from headway.bench.workload import Arrival, Load, request
from headway.clock import VirtualClock
from headway.core.types import Batch, Cancel, Letter
from headway.sim.executor import Cost, Death, no_death

Way = Callable[[Arrival], float]
"""Seconds from a client's sending until the scheduler has the request, and of an answer's way back."""

patience_s = 10.0  # mean, exponential: how long whoever leaves has stayed


class Slow(NamedTuple):
    """Steps that begin in [from_s, until_s) take `times` as long."""

    from_s: float
    until_s: float
    times: float


class Burst(NamedTuple):
    """So many requests more, all at `at_s`, drawn from the same workload."""

    at_s: float
    requests: int


@dataclass(frozen=True, slots=True)
class Faults:
    slow: tuple[Slow, ...] = ()
    rank_lost_s: float | None = None  # in the first step that begins then; None: none is
    leaving: float = 0.0  # the share of clients that leave, whether or not their answer has ended
    bursts: tuple[Burst, ...] = ()


NO_FAULTS = Faults()


def slowed(cost: Cost, clock: VirtualClock, slow: Sequence[Slow]) -> Cost:
    if not slow:
        return cost

    def seconds(batch: Batch) -> float:
        now, step_s = clock.now(), cost(batch)
        for from_s, until_s, times in slow:
            if from_s <= now < until_s:
                step_s *= times
        return step_s

    return seconds


def death(clock: VirtualClock, faults: Faults) -> Death:
    lost_s = faults.rank_lost_s
    if lost_s is None:
        return no_death

    def cause(batch: Batch) -> str | None:
        return f"a rank was lost at {lost_s:g} s" if clock.now() >= lost_s else None

    return cause


def arrivals(load: Load, rate: float, seed: int, until_s: float, faults: Faults) -> list[Arrival]:
    """The load's and the bursts', in order."""
    burst_loads = []
    for number, burst in enumerate(faults.bursts):
        more = islice(cycle(load.arrivals(1.0, _burst_seed(seed, number), inf)), burst.requests)
        burst_loads.append([arrival._replace(at_s=burst.at_s) for arrival in more])
    return list(merge(load.arrivals(rate, seed, until_s), *burst_loads, key=lambda arrival: arrival.at_s))


def _burst_seed(seed: int, number: int) -> int:
    return 1_000_003 * (seed + 1) + number


def letters(
    asked: Sequence[Arrival], seed: int, leaving: float, way: Way | None = None
) -> Iterator[tuple[float, Letter]]:
    """Requests, known by their place in `asked`, and the cancels of those who leave; in order of time. A
    request comes as late as its way is long; None: at once.
    """
    requests: Iterator[tuple[float, Letter]]
    if way is None:
        requests = ((arrival.at_s, request(id, arrival)) for id, arrival in enumerate(asked))
    else:
        later = [arrival._replace(at_s=arrival.at_s + way(arrival)) for arrival in asked]
        come = ((arrival.at_s, request(id, arrival)) for id, arrival in enumerate(later))
        requests = iter(sorted(come, key=lambda each: each[0]))
    if not leaving:
        return requests
    random = Random(f"{seed}/leaving")
    drawn = [(random.random() < leaving, random.random()) for _ in asked]
    cancels: list[tuple[float, Letter]] = [
        (arrival.at_s - patience_s * log(1.0 - even), Cancel(id))
        for id, (arrival, (leaves, even)) in enumerate(zip(asked, drawn, strict=True))
        if leaves
    ]
    cancels.sort(key=lambda each: each[0])
    return merge(requests, cancels, key=lambda each: each[0])
