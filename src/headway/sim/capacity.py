"""The largest rate at which every promise holds, and the search for the configuration that has the
largest."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

from headway.bench.report import Report

T = TypeVar("T")

attained, completed = 0.95, 0.90  # shares that hold
lowest_rate = 0.01  # requests per second; what does not hold there has no capacity


def holds(report: Report) -> bool:
    """Every class with targets meets them for `attained` of its requests; of what is offered to every class
    without, `completed` of the tokens are done.
    """
    return report.attainment >= attained and report.completion >= completed


def most(verdicts: Iterable[bool], count: int) -> bool:
    """Whether more than half of `count` verdicts are true; asks for no more of them than it takes."""
    true = asked = 0
    for verdict in verdicts:
        true, asked = true + verdict, asked + 1
        if 2 * true > count or 2 * (asked - true) >= count:
            break
    return 2 * true > count


def capacity(
    can: Callable[[float], bool],
    guess: float,
    tolerance: float = 0.025,
    stride: float = 1.3,
    lowest: float = lowest_rate,
) -> float:
    """The largest rate that `can` be held, to a factor of 1 + `tolerance`; 0 if none from `lowest` on is.

    Brackets it from `guess` by factors of `stride`, then bisects in logarithms. `can` is asked only about
    rates it must decide; where it is not quite monotone, one of its edges is found.
    """
    low = high = guess
    if can(guess):
        while can(high := high * stride):
            low = high
    else:
        while not can(low := low / stride):
            if low < lowest:
                return 0.0
            high = low
    while high / low > 1 + tolerance:
        middle = (low * high) ** 0.5
        low, high = (middle, high) if can(middle) else (low, middle)
    return low


def best(
    candidates: Iterable[T], can: Callable[[T, float], bool], guess: float, step: float = 0.025
) -> list[T]:
    """Race the candidates; the last of those returned is the best, the others led before it.

    To take the lead is to hold a `step` more than the leader's capacity. Only a leader's is searched for, so
    most candidates cost one run.
    """
    leaders: list[T] = []
    rate = guess
    for candidate in candidates:
        if not leaders or can(candidate, rate * (1 + step)):
            rate = capacity(partial(can, candidate), rate * (1 + step), step, stride=1.15)
            leaders.append(candidate)
    return leaders
