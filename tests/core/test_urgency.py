"""As many in time as can be: checked against every order of a few jobs."""

from array import array
from itertools import permutations
from math import inf

from hypothesis import given
from hypothesis import strategies as st

from headway.core.learned import Record
from headway.core.policies.urgency import Job, in_order
from headway.core.sequence import Sequence
from headway.core.slo import ServiceClass
from headway.core.types import Request, Sampling


def job(id: int, due_s: float, work_s: float, level: int = 0, weight: float = 1.0) -> Job:
    sequence = Sequence(id, Request(id, array("i", [1]), Sampling(), 0.0), 0, 0.0)
    sequence.serve_as(ServiceClass(name=f"level {level}", level=level, weight=weight), level, Record())
    return Job(sequence, due_s, work_s)


def ids(jobs: list[Job]) -> list[int]:
    return [each.sequence.id for each in jobs]


def most_possible(jobs: list[Job]) -> int:
    best = 0
    for order in permutations(jobs):
        at_s, met = 0.0, 0
        for each in order:
            if at_s + each.work_s <= each.due_s:
                at_s += each.work_s
                met += 1
        best = max(best, met)
    return best


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(1, 10)), max_size=6))
def test_no_order_has_more_jobs_in_time(drawn) -> None:
    jobs = [job(i, float(due), float(work)) for i, (due, work) in enumerate(drawn)]
    in_time, late = in_order(jobs, 0.0)
    assert sorted(ids(in_time) + ids(late)) == list(range(len(jobs)))
    assert len(in_time) == most_possible(jobs)


def test_one_that_is_hopeless_does_not_make_the_next_one_hopeless() -> None:
    in_time, late = in_order([job(0, due_s=1.0, work_s=5.0), job(1, due_s=2.0, work_s=1.5)], 0.0)
    assert (ids(in_time), ids(late)) == ([1], [0])


def test_where_one_must_be_late_it_is_the_one_with_most_work_for_its_weight() -> None:
    heavy = job(0, due_s=3.0, work_s=2.0, weight=10.0)
    assert ids(in_order([heavy, job(1, due_s=3.0, work_s=1.5)], 0.0)[1]) == [1]
    light = job(0, due_s=3.0, work_s=2.0)
    assert ids(in_order([light, job(1, due_s=3.0, work_s=1.5)], 0.0)[1]) == [0]


def test_levels_come_strictly_one_after_another_and_those_without_a_promise_last() -> None:
    jobs = [job(0, inf, 9.0), job(1, 8.0, 1.0, level=1), job(2, 9.0, 5.0), job(3, 7.0, 3.0, level=1)]
    in_time, late = in_order(jobs, 0.0)
    assert ids(in_time)[:2] == [2, 0]
    assert not {1, 3} - set(ids(in_time) + ids(late))
