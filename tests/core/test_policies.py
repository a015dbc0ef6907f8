"""What each policy prefers, seen in the batches it leads to."""

import pytest

from headway.core.limits import Limits
from headway.core.memory import paged
from headway.core.policies import POLICIES, DecodeFirst, PrefillFirst, StallFree, Static
from headway.core.scheduler import Scheduler
from tests.core.test_scheduler import ask, step

LIMITS = Limits(max_seqs=4, max_step_tokens=16, max_queued=50, block_size=4, blocks=200, max_model_len=64)


def scheduler_with(policy, *prompts: int, max_tokens=4) -> Scheduler:
    scheduler = Scheduler(LIMITS, policy, paged)
    for id, prompt in enumerate(prompts):
        scheduler.add(ask(id, prompt=prompt, max_tokens=max_tokens), 0.0)
    return scheduler


def shapes(scheduler, steps: int) -> list[list[tuple[int, int]]]:
    """(sequence, tokens) of each slice, for so many steps."""
    return [[(s.id, s.count) for s in step(scheduler)[0].slices] for _ in range(steps)]


def test_prefill_first_interrupts_decodes_for_a_new_prompt():
    scheduler = scheduler_with(PrefillFirst(), 3)
    shapes(scheduler, 2)
    scheduler.add(ask(9, prompt=20), 0.0)
    assert shapes(scheduler, 3) == [[(1, 16)], [(1, 4)], [(0, 1), (1, 1)]]


def test_prefill_first_does_not_leave_a_prompts_last_token_behind_newer_prompts():
    scheduler = scheduler_with(PrefillFirst(), 17)
    shapes(scheduler, 1)
    scheduler.add(ask(9, prompt=range(50, 65)), 0.0)
    assert shapes(scheduler, 1) == [[(0, 1), (1, 15)]]


def test_stall_free_gives_decodes_their_token_and_prompts_the_rest():
    scheduler = scheduler_with(StallFree(), 3)
    shapes(scheduler, 1)
    scheduler.add(ask(9, prompt=20), 0.0)
    assert shapes(scheduler, 3) == [[(0, 1), (1, 15)], [(0, 1), (1, 5)], [(0, 1), (1, 1)]]


def test_static_lets_nobody_in_before_the_whole_batch_has_ended():
    scheduler = scheduler_with(Static(), 3, 3, max_tokens=2)
    scheduler.add(ask(8, prompt=2, max_tokens=4), 0.0)
    assert shapes(scheduler, 1) == [[(0, 3), (1, 3), (2, 2)]]
    scheduler.add(ask(9, prompt=2), 0.0)
    assert shapes(scheduler, 3) == [[(0, 1), (1, 1), (2, 1)], [(2, 1)], [(2, 1)]]
    assert shapes(scheduler, 1) == [[(3, 2)]]


def test_static_counts_all_choices_of_a_request_as_one_batch():
    scheduler = Scheduler(LIMITS, Static(), paged)
    scheduler.add(ask(1, prompt=3, max_tokens=3, choices=3), 0.0)
    scheduler.add(ask(2, prompt=3), 0.0)
    assert shapes(scheduler, 1) == [[(0, 3), (3, 3)]]
    assert [id for id, _ in shapes(scheduler, 1)[0]] == [1, 2], "its other choices enter beside it"


def test_static_waits_for_the_batch_to_fill_but_no_longer_than_told():
    scheduler = Scheduler(LIMITS, Static(batch_wait_s=2.0), paged)
    scheduler.add(ask(1, prompt=2, arrival_s=1.0), 1.0)
    assert scheduler.plan(1.0) == (None, 3.0, [])
    for id in (2, 3, 4):
        scheduler.add(ask(id, prompt=2, arrival_s=1.5), 1.5)
    assert len(scheduler.plan(1.5).batch.slices) == 4, "full: it starts"


def test_decode_first_refills_only_when_the_running_set_has_shrunk():
    scheduler = scheduler_with(DecodeFirst(), 2, 2, max_tokens=3)
    scheduler.add(ask(7, prompt=2, max_tokens=9), 0.0)
    scheduler.add(ask(8, prompt=2, max_tokens=9), 0.0)
    assert shapes(scheduler, 1) == [[(0, 2), (1, 2), (2, 2), (3, 2)]]
    scheduler.add(ask(9, prompt=2), 0.0)
    assert shapes(scheduler, 2) == [[(0, 1), (1, 1), (2, 1), (3, 1)]] * 2, "nobody enters"
    assert shapes(scheduler, 1) == [[(2, 1), (3, 1), (4, 2)]], "half have ended: it fills again"


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_serves_everyone(name):
    scheduler = scheduler_with(POLICIES[name](), *range(1, 30))
    steps = 0
    while scheduler._live:
        step(scheduler)
        steps += 1
        assert steps < 1000
