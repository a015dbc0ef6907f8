"""The scheduler's four verbs, by example."""

from array import array

import pytest

from headway.core.limits import Limits
from headway.core.memory import MEMORY_RULES, paged
from headway.core.policies import StallFree
from headway.core.scheduler import Scheduler
from headway.core.types import (
    Accepted,
    Cancel,
    Finished,
    Outcome,
    PromptScored,
    Reason,
    Request,
    Result,
    Sampling,
    Shares,
    Stepped,
    Token,
)

LIMITS = Limits(max_seqs=4, max_step_tokens=32, max_queued=8, block_size=4, blocks=16, max_model_len=48)


def make(limits=LIMITS, memory=paged, **options) -> Scheduler:
    return Scheduler(limits, StallFree(), memory, **options)


def ask(id: int, prompt, max_tokens=8, choices=1, arrival_s=0.0, cache_salt=b"", **sampling) -> Request:
    tokens = array("i", range(100, 100 + prompt) if isinstance(prompt, int) else prompt)
    made = Sampling(max_tokens=max_tokens, seed=0, **sampling)
    return Request(id, tokens, made, arrival_s, choices, cache_salt=cache_salt)


def step(scheduler: Scheduler, token=5, end_s=1.0, fail=(), start_s=0.0):
    """Plan a batch and commit it with the same token for everyone. Returns (batch, events)."""
    batch = scheduler.plan(end_s).batch
    assert batch is not None
    return batch, land(scheduler, batch, token, end_s, fail, start_s)


def land(scheduler, batch, token=5, end_s=1.0, fail=(), start_s=0.0):
    outcomes = [
        Outcome(s.id, failure="broken") if s.id in fail else Outcome(s.id, (token,) if s.samples else ())
        for s in batch.slices
    ]
    return scheduler.commit(Result(batch.id, outcomes, start_s, end_s))


def only(events, kind):
    return [event for event in events if isinstance(event, kind)]


def test_a_request_is_prefilled_then_decoded_to_its_length():
    scheduler = make()
    assert scheduler.add(ask(1, prompt=6, max_tokens=3), 0.0) == [Accepted(1, 0.0, "chat")]
    batch, events = step(scheduler)
    assert [tuple(s) for s in batch.slices] == [(0, 0, 6, True)]
    assert only(events, Token) == [Token(1, 0, 5, 1.0)]
    assert [tuple(s) for s in step(scheduler)[0].slices] == [(0, 6, 1, True)]
    batch, events = step(scheduler)
    (end,) = only(events, Finished)
    assert (end.reason, end.output_tokens, end.prompt_tokens) == (Reason.LENGTH, 3, 6)
    assert scheduler.plan(9.0).batch is None


def test_a_long_prompt_is_cut_into_chunks_and_decodes_go_first():
    scheduler = make()
    scheduler.add(ask(1, prompt=2), 0.0)
    step(scheduler)
    scheduler.add(ask(2, prompt=40), 0.0)
    assert [tuple(s) for s in step(scheduler)[0].slices] == [(0, 2, 1, True), (1, 0, 31, False)]
    assert [tuple(s) for s in step(scheduler)[0].slices] == [(0, 3, 1, True), (1, 31, 9, True)]


def test_a_stop_id_ends_the_sequence_but_not_before_min_tokens():
    scheduler = make()
    scheduler.add(ask(1, prompt=3, stop_ids=(7,), min_tokens=2), 0.0)
    assert not only(step(scheduler, token=7)[1], Finished)
    assert only(step(scheduler, token=7)[1], Finished)[0].reason is Reason.STOP


def test_a_second_prompt_shares_the_blocks_of_the_first():
    scheduler = make()
    scheduler.add(ask(1, prompt=10), 0.0)
    step(scheduler)
    scheduler.add(ask(2, prompt=10), 0.0)
    batch, _ = step(scheduler)
    assert batch.joined[0].tables[0][:2] == tuple(scheduler.residency.running[0].blocks[:2])
    assert [(s.start, s.count) for s in batch.slices if s.id == 1] == [(8, 2)]


def test_a_full_hit_leaves_one_token_to_compute():
    scheduler = make()
    scheduler.add(ask(1, prompt=9), 0.0)
    step(scheduler)
    scheduler.add(ask(2, prompt=8), 0.0)
    batch, _ = step(scheduler)
    assert [(s.start, s.count, s.samples) for s in batch.slices if s.id == 1] == [(4, 4, True)]


def test_another_salt_and_asked_for_prompt_logprobs_take_no_hit():
    scheduler = make()
    scheduler.add(ask(1, prompt=10), 0.0)
    step(scheduler)
    scheduler.add(ask(2, prompt=10, cache_salt=b"tenant"), 0.0)
    scheduler.add(ask(3, prompt=10, prompt_logprobs=0), 0.0)
    batch, _ = step(scheduler)
    assert [s.start for s in batch.slices if s.id in (1, 2)] == [0, 0]


def test_choices_wait_for_the_first_one_and_share_its_prompt():
    scheduler = make()
    scheduler.add(ask(1, prompt=9, choices=3), 0.0)
    batch, _ = step(scheduler)
    assert [s.id for s in batch.slices] == [0]
    batch, _ = step(scheduler)
    assert [(s.id, s.start, s.count) for s in batch.slices] == [(0, 9, 1), (1, 8, 1), (2, 8, 1)]


def test_the_younger_gives_way_and_comes_back_with_all_it_knew():
    scheduler = make(Limits(4, 64, 8, 4, 5, 20, prefix_cache=False))
    scheduler.add(ask(1, prompt=8, max_tokens=12), 0.0)
    scheduler.add(ask(2, prompt=8, max_tokens=12), 0.0)
    step(scheduler)
    batch, events = step(scheduler)  # each needs a third block, there is one
    assert [s.id for s in batch.slices] == [0]
    while not (ends := only(events, Finished)):
        batch, events = step(scheduler)
    assert ends[0].request_id == 1, "the oldest ends first"
    batch, events = step(scheduler)
    assert [len(joined.tokens) for joined in batch.joined] == [9], "its prompt and the token it had"
    while not (ends := only(events, Finished)):
        batch, events = step(scheduler)
    assert ends[0].output_tokens == 12


def test_a_cancel_ends_a_sequence_in_the_queue_at_once():
    scheduler = make()
    scheduler.add(ask(1, prompt=3, arrival_s=1.0), 1.0)
    (end,) = scheduler.cancel(Cancel(1), 3.0)
    assert (end.reason, end.spent_ns) == (Reason.CANCELLED, Shares(queue=2 * 10**9))
    assert scheduler.plan(3.0).batch is None


def test_a_cancel_in_flight_ends_at_once_and_frees_when_landed():
    scheduler = make()
    scheduler.add(ask(1, prompt=3), 0.0)
    batch = scheduler.plan(0.0).batch
    assert only(scheduler.cancel(Cancel(1), 0.5), Finished)
    assert scheduler.residency.pool.available == 15
    assert not only(land(scheduler, batch), Token), "surplus tokens are dropped"
    assert scheduler.residency.pool.available == 16


def test_a_cancel_that_crosses_the_end_is_no_error():
    scheduler = make()
    scheduler.add(ask(1, prompt=3, max_tokens=1), 0.0)
    step(scheduler)
    assert scheduler.cancel(Cancel(1), 2.0) == []


def test_a_stop_string_found_outside_ends_with_the_tokens_that_count():
    scheduler = make()
    scheduler.add(ask(1, prompt=3), 0.0)
    for _ in range(3):
        step(scheduler)
    (end,) = scheduler.cancel(Cancel(1, 0, Reason.STOP, keep=2), 2.0)
    assert (end.reason, end.output_tokens) == (Reason.STOP, 2)


def test_one_sequences_failure_ends_it_alone():
    scheduler = make()
    scheduler.add(ask(1, prompt=3), 0.0)
    scheduler.add(ask(2, prompt=3), 0.0)
    _, events = step(scheduler, fail={0})
    (end,) = only(events, Finished)
    assert (end.request_id, end.reason, end.detail) == (1, Reason.ERROR, "broken")
    assert [token.request_id for token in only(events, Token)] == [2]


def test_two_batches_in_flight_plan_on_a_promised_token():
    scheduler = make()
    scheduler.add(ask(1, prompt=3, max_tokens=2), 0.0)
    first, second = scheduler.plan(0.0).batch, scheduler.plan(0.0).batch
    assert [tuple(s) for s in second.slices] == [(0, 3, 1, True)]
    assert scheduler.plan(0.0).batch is None, "the last token is never computed"
    land(scheduler, first)
    assert only(land(scheduler, second), Finished)[0].output_tokens == 2


def test_in_a_pipeline_a_sequence_is_in_one_batch_at_a_time():
    scheduler = make(exclusive=True)
    scheduler.add(ask(1, prompt=3), 0.0)
    scheduler.plan(0.0)
    assert scheduler.plan(0.0).batch is None


@pytest.mark.parametrize(
    ("rule", "blocks"), [("paged", 2), ("reserved-request", 4), ("reserved-context", 12)]
)
def test_a_memory_rule_says_what_is_held_from_the_start(rule, blocks):
    scheduler = make(memory=MEMORY_RULES[rule])
    scheduler.add(ask(1, prompt=6, max_tokens=8), 0.0)
    batch, events = step(scheduler)
    assert len(batch.joined[0].tables[0]) == blocks
    assert only(events, Stepped)[0].slots_unused == blocks * 4 - 6


def test_prompt_scores_are_passed_on():
    scheduler = make()
    scheduler.add(ask(1, prompt=3, prompt_logprobs=0), 0.0)
    batch = scheduler.plan(0.0).batch
    outcome = Outcome(0, (5,), (), ("scores",))
    events = scheduler.commit(Result(batch.id, [outcome], 0.0, 1.0))
    assert only(events, PromptScored) == [PromptScored(1, 0, ("scores",))]


def test_a_prompt_that_is_computed_again_is_scored_once():
    scheduler = make(Limits(4, 4, 8, 4, 5, 20))
    scheduler.add(ask(1, prompt=7, max_tokens=10), 0.0)
    step(scheduler)
    step(scheduler)
    scheduler.add(ask(2, prompt=11, max_tokens=1, prompt_logprobs=0, choices=2), 0.0)
    scores, preemptions = [], 0
    while scheduler._live:
        batch = scheduler.plan(0.0).batch
        outcomes = [
            Outcome(
                s.id, (5,) * s.samples, (), tuple(range(s.start + 1, s.start + s.count + 1))[: 10 - s.start]
            )
            if s.id == 1
            else Outcome(s.id, (5,) * s.samples)
            for s in batch.slices
        ]
        events = scheduler.commit(Result(batch.id, outcomes, 0.0, 1.0))
        preemptions += sum(frame.preemptions for frame in only(events, Stepped))
        scores += [score for event in only(events, PromptScored) for score in event.logprobs]
    assert preemptions > 0
    assert scores == list(range(1, 11)), "the first token has no score, the others one each"


def test_the_shares_of_time_add_up_from_arrival_to_end():
    scheduler = make()
    scheduler.add(ask(1, prompt=3, max_tokens=2, arrival_s=1.0), 1.5)
    step(scheduler, start_s=2.0, end_s=3.0)
    _, events = step(scheduler, start_s=3.0, end_s=3.25)
    (end,) = only(events, Finished)
    assert end.spent_ns == Shares(host=500_000_000, queue=500_000_000, prefill=10**9, decode=250_000_000)


def test_when_the_executor_dies_every_live_choice_ends_with_an_error():
    scheduler = make()
    scheduler.add(ask(1, prompt=3, choices=2), 0.0)
    scheduler.plan(0.0)
    scheduler.add(ask(2, prompt=3), 0.0)
    ends = scheduler.abandon("rank 1 died", 1.0)
    assert [(end.request_id, end.choice, end.reason) for end in ends] == [
        (1, 0, Reason.ERROR),
        (1, 1, Reason.ERROR),
        (2, 0, Reason.ERROR),
    ]
