"""Who of those with prompt work comes first: as many in time as can be, then the rest.

Of jobs with deadlines on one machine the most are in time if they run in order of deadline and, whenever one
would be late, the longest so far is given up (Moore and Hodgson, Management Science 15, 1968): the hopeless
never make the next ones hopeless too. Levels come strictly one after another.
"""

from collections.abc import Iterable
from heapq import heappop, heappush
from itertools import groupby
from math import inf
from typing import NamedTuple

from headway.core.sequence import Sequence

work_share = 0.1  # of the work left, added to the deadline: of two that are due alike the shorter comes first


class Job(NamedTuple):
    sequence: Sequence
    due_s: float  # when its work must be done, by which it is ranked; inf: it has no promise
    work_s: float  # until its next token, if it has the machine's prompt time to itself
    end_s: float = inf  # when that token must be there


def in_order(jobs: Iterable[Job], now: float) -> tuple[list[Job], list[Job]]:
    """Those in time, and those that are given up; each in the order in which to run them."""
    late, free_s = set[int](), now
    ranked = sorted(jobs, key=lambda j: (j.sequence.level, j.due_s + work_share * j.work_s, j.sequence.id))
    for _, of_level in groupby(ranked, key=lambda job: job.sequence.level):
        free_s = _give_up(sorted(of_level, key=lambda job: job.due_s), free_s, late)
    return [j for j in ranked if j.sequence.id not in late], [j for j in ranked if j.sequence.id in late]


def _give_up(jobs: Iterable[Job], free_s: float, late: set[int]) -> float:
    """Of one level, from `free_s` on: add to `late` until the rest is in time, most work a weight first.
    When that rest is done."""
    heap: list[tuple[float, int, Job]] = []
    end_s = free_s
    for job in jobs:
        if free_s + job.work_s > job.due_s:
            late.add(job.sequence.id)
            continue
        heappush(heap, (-job.work_s / job.sequence.service_class.weight, -job.sequence.id, job))
        end_s += job.work_s
        while end_s > job.due_s:
            _, _, given_up = heappop(heap)
            end_s -= given_up.work_s
            late.add(given_up.sequence.id)
    return end_s
