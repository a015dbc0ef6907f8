"""Who of those with prompt work comes first: as many in time as can be, then the rest.

Of jobs with deadlines on one machine the most are in time if they run in order of deadline and, whenever one
would be late, the longest so far is given up (Moore and Hodgson, Management Science 15, 1968). So one that is
hopeless never makes the next ones hopeless too. Levels come strictly one after another.
"""

from collections.abc import Iterable
from heapq import heappop, heappush
from typing import NamedTuple

from headway.core.sequence import Sequence

work_share = 0.1  # of the work left, added to the deadline: of two that are due alike the shorter is first


class Job(NamedTuple):
    sequence: Sequence
    due_s: float  # when its next token must be there; inf: it has no promise
    work_s: float  # until that token, if it has the machine's prompt time to itself


class Order(NamedTuple):
    in_time: list[Job]
    late: list[Job]


def in_order(jobs: Iterable[Job], now: float) -> Order:
    """All of `jobs`, each list in the order in which to run it."""
    in_time: list[Job] = []
    late: list[Job] = []
    by_level: dict[int, list[Job]] = {}
    for job in jobs:
        by_level.setdefault(job.sequence.level, []).append(job)
    free_s = now
    for level in sorted(by_level):
        kept, given_up = _most_in_time(by_level[level], free_s)
        free_s += sum(job.work_s for job in kept)
        in_time += sorted(kept, key=_urgency)
        late += sorted(given_up, key=_urgency)
    return Order(in_time, late)


def _most_in_time(jobs: list[Job], free_s: float) -> tuple[list[Job], list[Job]]:
    """Of one level: who can be in time from `free_s` on, and who is given up, most work a weight first."""
    late: list[Job] = []
    heap: list[tuple[float, int, Job]] = []
    end_s = free_s
    for job in sorted(jobs, key=_urgency):
        if free_s + job.work_s > job.due_s:
            late.append(job)
            continue
        heappush(heap, (-job.work_s / job.sequence.service_class.weight, -job.sequence.id, job))
        end_s += job.work_s
        while end_s > job.due_s:
            given_up = heappop(heap)[2]
            end_s -= given_up.work_s
            late.append(given_up)
    return [job for _, _, job in heap], late


def _urgency(job: Job) -> tuple[float, int]:
    return job.due_s + work_share * job.work_s, job.sequence.id
