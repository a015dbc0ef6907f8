"""Who shares, who waits and what is counted, by example."""

from headway.core.blocks import chain_digest, root_digest
from headway.core.limits import Limits
from headway.core.types import Stepped
from tests.core.test_scheduler import ask, make, only, step


def test_no_salt_can_be_the_name_of_a_block():
    first = chain_digest(root_digest(b""), b"tokens")
    assert root_digest(first + b"tokens") != chain_digest(first, b"tokens")
    assert len({root_digest(b""), root_digest(b"a"), root_digest(first)}) == 3


def test_who_came_later_takes_no_blocks_before_one_that_was_denied_in_the_same_plan():
    scheduler = make(Limits(4, 32, 8, 4, 6, 24))
    scheduler.add(ask(1, prompt=12), 0.0)
    step(scheduler)
    scheduler.add(ask(2, prompt=range(50, 66)), 0.0)
    scheduler.add(ask(3, prompt=range(70, 74)), 0.0)
    batch, _ = step(scheduler)
    assert [s.id for s in batch.slices] == [0], "one block would do for the third, the second asked first"


def test_what_the_prefix_index_has_for_a_prompt_is_known_while_it_waits():
    scheduler = make(Limits(4, 32, 8, 4, 6, 24))
    scheduler.add(ask(1, prompt=12), 0.0)
    step(scheduler)
    scheduler.add(ask(2, prompt=range(50, 66)), 0.0)
    scheduler.add(ask(3, prompt=16), 0.0)
    step(scheduler)
    assert [s.hits for s in scheduler.residency.waiting] == [0, 12]


def test_a_preempted_sequence_is_no_prefix_hit_and_only_what_is_lost_counts_as_recomputed():
    scheduler = make(Limits(4, 64, 8, 4, 5, 20))
    scheduler.add(ask(1, prompt=8, max_tokens=12), 0.0)
    scheduler.add(ask(2, prompt=range(50, 58), max_tokens=12), 0.0)
    frames = []
    while scheduler._live:
        frames += only(step(scheduler)[1], Stepped)
    assert sum(frame.preemptions for frame in frames) == 1
    assert sum(frame.prefix_query_tokens for frame in frames) == 16
    assert sum(frame.prefix_hit_tokens for frame in frames) == 0
    computed = sum(frame.tokens for frame in frames)
    assert sum(frame.recomputed_tokens for frame in frames) == computed - 2 * 19
