"""A trace begun anew: at the rate that is asked for, without end, for each seed from elsewhere."""

from array import array
from itertools import islice, pairwise
from math import inf

import pytest

from headway.bench.traces import Trace
from headway.bench.workload import Arrival, Prefix
from headway.plan.repeated import Repeated

trace = Trace(
    tuple(Arrival(float(n * n), "chat", 100 + n, 10, 20, Prefix(array("Q", [7, n]), 16)) for n in range(6)),
    36.0,
    0,
)


def test_it_goes_on_at_the_rate_with_as_many_requests_in_every_round() -> None:
    found = list(islice(Repeated(trace).arrivals(2.0, 1, inf), 600))
    assert found[-1].at_s == pytest.approx(300, rel=0.02)
    assert all(one.at_s <= next_one.at_s for one, next_one in pairwise(found))
    assert found[0].at_s >= 0
    assert {one.prompt_tokens for one in found[:6]} == {100, 101, 102, 103, 104, 105}


def test_seeds_begin_elsewhere_and_each_always_at_the_same_place() -> None:
    first, again, other = (
        [one.prompt_tokens for one in islice(Repeated(trace).arrivals(1.0, seed, inf), 6)]
        for seed in (1, 1, 2)
    )
    assert first == again != other


def test_it_ends_where_it_is_told_to() -> None:
    assert all(one.at_s < 40 for one in Repeated(trace).arrivals(1.0, 3, 40.0))


def test_prompts_of_another_round_begin_with_other_texts_that_are_shared_as_before() -> None:
    starts = [
        tuple(one.prefix.hashes) for one in islice(Repeated(trace).arrivals(1.0, 1, inf), 18) if one.prefix
    ]
    assert len(set(starts)) == 18
    assert len({hashes[0] for hashes in starts}) in (3, 4), "one text that all of a round begin with"


def test_requests_that_all_come_at_once_have_no_rate() -> None:
    with pytest.raises(ValueError, match="at once"):
        Repeated(Trace(trace.requests[:1], 0.0, 0))
