"""Who gives way to whom, who waits for whom, and what that leaves behind, by example."""

from headway.core.limits import Limits
from headway.core.memory import paged
from headway.core.policies.preference import Preference, View
from headway.core.scheduler import Scheduler
from headway.core.types import Finished, Stepped
from tests.core.test_scheduler import ask, land, make, only, step

TIGHT = Limits(max_seqs=4, max_step_tokens=64, max_queued=8, block_size=4, blocks=4, max_model_len=16)


class Chosen:
    """A policy that ranks the sequences whose ids the test names, in that order, and asks for too much."""

    heeds_levels = False

    def __init__(self, *order: int) -> None:
        self.order = order

    def rank(self, view: View, now: float) -> Preference:
        by_id = {s.id: s for s in (*view.running, *view.waiting)}
        return Preference(([(by_id[id], 1000) for id in self.order if id in by_id],), 1000)


def other_prompt(tokens: int, first: int) -> list[int]:
    return list(range(first, first + tokens))


def sliced(batch) -> list[int]:
    return [slice.id for slice in batch.slices]


def test_who_is_leaving_is_given_nothing_more_to_do():
    scheduler = make(TIGHT)
    scheduler.add(ask(1, prompt=8), 0.0)
    scheduler.add(ask(2, prompt=other_prompt(6, first=50)), 0.0)
    batch = scheduler.plan(0.0).batch
    assert sliced(batch) == [0, 1]
    assert scheduler.plan(0.0).batch is None, "the first wants a block; the second, in flight, must leave"
    land(scheduler, batch)
    assert sliced(scheduler.plan(0.0).batch) == [0]
    assert [s.id for s in scheduler.residency.waiting] == [1]


def test_the_victim_is_the_rankings_last_not_the_youngest():
    policy = Chosen(0, 2, 1)
    scheduler = Scheduler(TIGHT, policy, paged)
    scheduler.add(ask(1, prompt=8), 0.0)
    scheduler.add(ask(2, prompt=other_prompt(3, first=50)), 0.0)
    scheduler.add(ask(3, prompt=other_prompt(3, first=60)), 0.0)
    assert sliced(step(scheduler)[0]) == [0, 2, 1]
    assert sliced(step(scheduler)[0]) == [0, 2]


def test_no_more_give_way_than_are_needed_though_the_first_takes_time_to_leave():
    scheduler = make(TIGHT)
    scheduler.add(ask(1, prompt=8), 0.0)
    scheduler.add(ask(2, prompt=other_prompt(3, first=50)), 0.0)
    scheduler.add(ask(3, prompt=other_prompt(3, first=60)), 0.0)
    first = scheduler.plan(0.0).batch
    second = scheduler.plan(0.0).batch
    third = scheduler.plan(0.0).batch
    assert (sliced(first), sliced(second), third) == ([0, 1, 2], [1], None)
    events = land(scheduler, first) + land(scheduler, second)
    assert sum(frame.preemptions for frame in only(events, Stepped)) == 1
    assert [s.id for s in scheduler.residency.waiting] == [2]


def test_nobody_gives_way_in_vain():
    policy = Chosen(0, 2)
    scheduler = Scheduler(TIGHT, policy, paged)
    scheduler.add(ask(1, prompt=5), 0.0)
    scheduler.add(ask(2, prompt=other_prompt(12, first=50), max_tokens=4), 0.0)
    scheduler.add(ask(3, prompt=other_prompt(2, first=70)), 0.0)
    step(scheduler)
    policy.order = (0, 1, 2)
    batch, events = step(scheduler)
    assert sliced(batch) == [0, 2], "even all of the third's blocks would not do for the second"
    assert only(events, Stepped)[0].preemptions == 0


def test_who_is_ranked_after_a_senior_that_was_denied_does_not_join_before_it():
    policy = Chosen(0, 1, 2)
    scheduler = Scheduler(TIGHT, policy, paged)
    scheduler.add(ask(1, prompt=5), 0.0)
    scheduler.add(ask(2, prompt=other_prompt(12, first=50), max_tokens=4), 0.0)
    scheduler.add(ask(3, prompt=other_prompt(2, first=70)), 0.0)
    assert sliced(step(scheduler)[0]) == [0]
    policy.order = (2, 0, 1)
    assert sliced(step(scheduler)[0]) == [2, 0], "who comes first is the policy's to say"


def test_nobody_waits_for_one_that_was_denied_and_that_the_policy_no_longer_wants_in():
    policy = Chosen(0, 1)
    scheduler = Scheduler(TIGHT, policy, paged)
    scheduler.add(ask(1, prompt=5), 0.0)
    scheduler.add(ask(2, prompt=other_prompt(12, first=50), max_tokens=4), 0.0)
    scheduler.add(ask(3, prompt=other_prompt(2, first=70)), 0.0)
    assert sliced(step(scheduler)[0]) == [0]
    policy.order = (0, 2)
    assert sliced(step(scheduler)[0]) == [0, 2]


def test_what_a_preempted_sequence_finds_again_of_its_own_is_not_called_cached():
    scheduler = make(Limits(4, 64, 8, 4, 6, 20))
    scheduler.add(ask(1, prompt=8, max_tokens=12), 0.0)
    scheduler.add(ask(2, prompt=other_prompt(8, first=50), max_tokens=12), 0.0)
    rejoined_at, ends = [], []
    while scheduler._live:
        batch, events = step(scheduler)
        rejoined_at += [slice.start for slice in batch.slices if slice.id == 1 and batch.joined]
        ends += only(events, Finished)
    assert rejoined_at == [0, 4], "it found its first block again"
    assert [end.cached_tokens for end in ends] == [0, 0]


def test_a_policy_that_ranks_everyone_still_runs_max_seqs_at_most():
    scheduler = Scheduler(Limits(2, 64, 8, 4, 16, 16), Chosen(0, 1, 2), paged)
    for id in range(3):
        scheduler.add(ask(id, prompt=3), 0.0)
    assert sliced(step(scheduler)[0]) == [0, 1]


def test_a_policy_that_asks_for_more_than_a_step_holds_gets_a_full_step():
    scheduler = Scheduler(Limits(4, 10, 8, 4, 16, 16), Chosen(0, 1), paged)
    scheduler.add(ask(1, prompt=8), 0.0)
    scheduler.add(ask(2, prompt=8), 0.0)
    batch, events = step(scheduler)
    assert [slice.count for slice in batch.slices] == [8, 2]
    assert only(events, Stepped)[0].budget == 10
