"""The adaptive policy, and what the scheduler does with classes, on a machine whose speed is known."""

from array import array
from dataclasses import replace

import pytest

from headway.core.forecast import Load, Profile
from headway.core.limits import Limits
from headway.core.memory import paged
from headway.core.policies import Adaptive, Aimd
from headway.core.scheduler import Scheduler
from headway.core.slo import BATCH, CHAT, INTERACTIVE, NO_TARGETS, Overload, ServiceClass, Targets
from headway.core.types import (
    Accepted,
    Batch,
    Finished,
    Outcome,
    Reason,
    Refusal,
    Refused,
    Request,
    Result,
    Sampling,
    Stepped,
)

MACHINE = Profile(
    knots=(16,), base_s=0.02, token_s=(0.001, 0.001), sequence_s=1e-6, context_s=1e-9, pair_s=1e-9
)
LIMITS = Limits(max_seqs=8, max_step_tokens=512, max_queued=50, block_size=16, blocks=400, max_model_len=4096)
SLOW_CHAT = replace(CHAT, ttft_p95_s=1.0)


class World:
    """A scheduler whose steps take 20 ms and 1 ms a token."""

    def __init__(self, *classes: ServiceClass, policy=None, **limits) -> None:
        named = {c.name: c for c in classes or (SLOW_CHAT, INTERACTIVE, BATCH)}
        self.scheduler = Scheduler(
            replace(LIMITS, **limits), policy or Adaptive(), paged, classes=named, profile=MACHINE
        )
        self.now = 0.0
        self.events: list = []
        for tokens in (1, 4, 64, 100) * 8:  # it has seen this machine before
            load = Load(tokens, 1, 0, tokens > 1)
            self.scheduler.learned.forecast.observe(load, self.seconds(tokens))
        self._ids = 0

    @staticmethod
    def seconds(tokens: int) -> float:
        return 0.02 + 0.001 * tokens

    def retune(self, *classes: ServiceClass, policy: str | None = None) -> None:
        self.scheduler.retune({c.name: c for c in classes}, policy)

    def ask(self, name: str, prompt: int, max_tokens: int = 100, own: Targets = NO_TARGETS) -> int:
        """The request's id."""
        self._ids += 1
        sampling = Sampling(max_tokens=max_tokens, seed=0)
        tokens = array("i", [self._ids] * prompt)
        request = Request(self._ids, tokens, sampling, self.now, service_class=name, own=own)
        self.events += self.scheduler.add(request, self.now)
        return self._ids

    def step(self) -> Batch | None:
        batch, _, ended = self.scheduler.plan(self.now)
        self.events += ended
        if batch is None:
            return None
        start_s = self.now
        self.now += self.seconds(sum(s.count for s in batch.slices))
        outcomes = [Outcome(s.id, (5,) if s.samples else ()) for s in batch.slices]
        self.events += self.scheduler.commit(Result(batch.id, outcomes, start_s, self.now))
        return batch

    def of(self, kind) -> list:
        return [event for event in self.events if isinstance(event, kind)]


def tokens_of(batch: Batch) -> dict[int, int]:
    """By sequence id, which here is the request's less 1."""
    return {s.id + 1: s.count for s in batch.slices}


def test_a_step_is_as_long_as_the_tightest_streams_slack_allows():
    world = World()
    chat = world.ask("chat", 4)
    world.step()
    prompt = world.ask("chat", 400)
    batch = world.step()
    given = tokens_of(batch)
    assert given[chat] == 1
    assert 40 < given[prompt] < 80, "100 ms, less what a bare step takes and a little for safety"
    steps = [frame.step_s for frame in world.of(Stepped)]
    assert max(steps) <= 0.1


def test_with_nobody_to_wait_a_step_is_as_long_as_an_arrival_may_find():
    world = World()
    world.ask("chat", 2000)
    assert world.seconds(sum(tokens_of(world.step()).values())) <= 0.25 * 0.5 + 1e-6, "interactive's quarter"


def test_a_prompt_that_can_be_in_time_comes_before_an_older_one_that_cannot():
    world = World()
    hopeless = world.ask("chat", 3000)
    quick = world.ask("chat", 100)
    while not any(e.request_id == quick for e in world.events if hasattr(e, "token")):
        batch = world.step()
    assert world.now < 1.0
    assert hopeless not in tokens_of(batch) or tokens_of(batch)[hopeless] < 50


def test_batch_yields_to_a_chat_within_one_step_and_gives_up_its_place():
    world = World(max_seqs=2)
    first, second = world.ask("batch", 20), world.ask("batch", 20)
    world.step()
    chat = world.ask("chat", 20)
    batch = world.step()
    assert chat in tokens_of(batch)
    running = {s.request.id for s in world.scheduler.residency.running}
    assert chat in running
    assert len(running & {first, second}) == 1


def test_nobody_gives_its_place_up_to_an_equal():
    world = World(max_seqs=1)
    first = world.ask("chat", 20)
    world.step()
    world.ask("interactive", 20)
    world.step()
    assert [s.request.id for s in world.scheduler.residency.running] == [first]


def test_a_request_past_its_deadline_ends_before_it_is_prefilled():
    world = World(max_seqs=1)
    world.ask("interactive", 20, max_tokens=4000)
    world.step()
    late = world.ask("interactive", 20)
    world.now += 2.1
    world.step()
    (end,) = (e for e in world.of(Finished) if e.request_id == late)
    assert (end.reason, end.output_tokens) == (Reason.EXPIRED, 0)
    assert sum(end.spent_ns) == round(2.1e9) == end.spent_ns.queue


def test_a_class_with_patience_gets_its_first_slice_in_time_or_ends_expired():
    patient = ServiceClass(name="patient", level=5, max_wait_s=1.0)
    world = World(SLOW_CHAT, patient)
    waiting = world.ask("patient", 300)
    sequence = world.scheduler.residency.waiting[0]
    while sequence.first_step_s is None and world.now < 2.0:
        world.ask("chat", 90, max_tokens=2)
        world.step()
    assert sequence.first_step_s is not None
    assert sequence.first_step_s <= 1.0
    assert waiting not in [e.request_id for e in world.of(Finished)]


def test_a_class_that_refuses_is_told_when_to_come_again_and_an_idle_engine_refuses_nobody():
    refusing = replace(SLOW_CHAT, on_overload=Overload.REFUSE)
    world = World(refusing)
    world.ask("chat", 3000)
    assert world.of(Accepted), "hopeless, but nobody is in its way"
    world.ask("chat", 100)
    (refused,) = world.of(Refused)
    assert refused.reason is Refusal.TOO_LATE
    assert refused.retry_after_s >= 1


def test_a_downgrade_is_served_as_the_class_it_names():
    down = replace(SLOW_CHAT, on_overload=Overload.DOWNGRADE, downgrade_to="batch")
    world = World(down, BATCH)
    world.ask("chat", 3000)
    world.ask("chat", 100)
    assert [e.service_class for e in world.of(Accepted)] == ["chat", "batch"]


def test_a_target_below_the_bare_decode_step_is_reported_and_governs_nothing():
    world = World(replace(CHAT, itl_p95_s=0.005))
    world.ask("chat", 4)
    for _ in range(20):
        world.step()
    assert ("chat", "itl") in world.of(Stepped)[-1].infeasible
    prompt = world.ask("chat", 200)
    assert tokens_of(world.step())[prompt] >= 16


def test_other_classes_and_another_policy_from_the_next_step_on():
    world = World()
    running, gone = world.ask("chat", 4), world.ask("batch", 4)
    world.step()
    tight = replace(CHAT, itl_p95_s=0.05)
    world.retune(tight, policy="stall-free")
    by_id = {s.request.id: s for s in world.scheduler.residency.running}
    assert by_id[running].targets.itl_s == 0.05
    assert by_id[gone].service_class == BATCH, "its class is no more, its contract stands"
    assert [s.level for s in by_id.values()] == [0, 0], "stall-free knows no levels"
    assert len(world.step().slices) == 2


def test_without_another_policy_the_one_there_is_goes_on_as_it_stands():
    world = World(policy=Aimd())
    world.ask("chat", 2000)
    for _ in range(3):
        before = world.step()
    world.retune(SLOW_CHAT)
    assert isinstance(world.scheduler.policy, Aimd)
    assert world.step().slices[0].count > before.slices[0].count


def test_who_comes_with_a_class_that_is_no_more_is_served_as_it_last_was():
    gone = replace(SLOW_CHAT, name="gone", ttft_p95_s=0.2)
    world = World(SLOW_CHAT, gone)
    world.ask("gone", 4)
    world.step()
    world.retune(SLOW_CHAT)
    late = world.ask("gone", 4)
    assert tokens_of(world.step())[late] == 4
    assert {s.targets.ttft_s for s in world.scheduler.residency.running} == {0.2}
    assert [e.service_class for e in world.of(Accepted)] == ["gone", "gone"]


def test_a_class_that_is_no_more_does_not_hold_the_guard_shut():
    world = World(SLOW_CHAT, replace(CHAT, name="gone", itl_p95_s=0.05))
    record = world.scheduler.learned.records["gone"]
    for _ in range(100):
        record.gap(late=True)
    world.retune(SLOW_CHAT)
    for _ in range(6):
        world.ask("chat", 4)
    for _ in range(60):
        world.step()
    assert len(world.scheduler.residency.running) == 6


def test_a_loosened_target_gives_a_stream_its_promise_back():
    world = World(replace(CHAT, ttft_p95_s=0.01))
    world.ask("chat", 100)
    for _ in range(12):
        world.step()
    (stream,) = world.scheduler.residency.running
    assert stream.missed
    world.retune(CHAT)
    world.step()
    assert not stream.missed


def test_a_requests_own_tighter_target_governs_the_step():
    lengths = []
    for own in (NO_TARGETS, Targets(itl_s=0.04)):
        world = World(SLOW_CHAT)
        world.ask("chat", 4, own=own)
        world.step()
        prompt = world.ask("chat", 400)
        lengths.append(tokens_of(world.step())[prompt])
    assert lengths[1] < lengths[0]


def test_an_own_target_that_nobody_could_keep_governs_nothing():
    world = World(SLOW_CHAT)
    world.ask("chat", 4, own=Targets(itl_s=0.001))
    for _ in range(20):
        world.step()
    prompt = world.ask("chat", 200)
    assert tokens_of(world.step())[prompt] >= 16
    assert world.scheduler.learned.records["chat"].late_share < 0.1, "it says nothing of its class"


@pytest.mark.parametrize(("tight_s", "grows"), [(10.0, True), (0.001, False)])
def test_aimd_grows_while_it_is_quick_enough_and_shrinks_when_not(tight_s, grows):
    world = World(replace(CHAT, itl_p95_s=tight_s), policy=Aimd())
    world.ask("chat", 1000)
    first = world.step()
    for _ in range(5):
        last = world.step()
    assert (last.slices[0].count > first.slices[0].count) is grows
