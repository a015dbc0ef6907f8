"""Conversations: each prompt begins with all that was said before it, and a prefix cache finds that."""

from collections import defaultdict
from itertools import pairwise

import pytest

from headway.bench.conversations import Conversations
from headway.bench.lengths import LENGTHS, read_lengths
from headway.bench.workload import CLASSES, Arrival, Part, Workload, prompt_ids
from headway.core.limits import Limits
from headway.core.memory import paged
from headway.core.policies import POLICIES
from headway.sim.executor import LinearCost
from headway.sim.simulate import Trial, simulate

load = Conversations(
    Workload((Part("chat", 1.0, "short"),)), turns=4, think_s=20.0, said=LENGTHS["short"], context_tokens=8192
)


def conversations(arrivals: list[Arrival]) -> list[list[Arrival]]:
    found = defaultdict(list)
    for arrival in arrivals:
        assert arrival.prefix is not None
        found[arrival.prefix.hashes[0]].append(arrival)
    return list(found.values())


def test_turns_follow_each_other_and_each_begins_with_all_before_it() -> None:
    arrivals = list(load.arrivals(4.0, 1, 2000.0))
    assert all(a.at_s <= b.at_s for a, b in pairwise(arrivals))
    assert len(arrivals) / 2000 == pytest.approx(4.0, rel=0.06)
    assert arrivals == list(load.arrivals(4.0, 1, 2000.0))
    talks = conversations(arrivals)
    assert {len(talk) for talk in talks} <= {1, 2, 3, 4}
    for id, (a, b) in enumerate(pair for talk in talks[:50] for pair in pairwise(talk)):
        assert b.prompt_tokens > a.tokens
        first, second = prompt_ids(id, a), prompt_ids(id + 1000, b)
        assert second[: len(first)] == first
    beginnings = {prompt_ids(0, talk[0])[:16].tobytes() for talk in talks}
    assert len(beginnings) == len(talks)


def test_a_full_context_ends_a_conversation() -> None:
    narrow = Conversations(load.first, 50, 1.0, read_lengths("400:100"), 2000)
    talks = conversations(list(narrow.arrivals(5.0, 1, 500.0)))
    assert max(a.prompt_tokens + a.max_tokens for talk in talks for a in talk) <= 2000
    assert max(len(talk) for talk in talks) == 4


def test_a_prefix_cache_spares_a_simulation_what_was_said_before() -> None:
    seconds = []
    for prefix_cache in (True, False):
        trial = Trial(load, CLASSES, LinearCost(0.002, 0.0002), paged, 100.0, 400.0)
        limits = Limits(32, 512, 1000, 16, 40_000, 8192, prefix_cache=prefix_cache)
        line = simulate(trial, POLICIES["stall-free"](), limits, 0.5, 3).classes["chat"]
        assert line.incomplete == 0
        assert line.ttft is not None
        seconds.append(line.ttft.p95)
    assert seconds[0] < 0.6 * seconds[1]
