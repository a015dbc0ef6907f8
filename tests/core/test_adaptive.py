"""The adaptive policy, and what the scheduler does with classes, on a machine whose speed is known."""

from array import array
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from headway.core.policies import Aimd
from headway.core.slo import BATCH, CHAT, INTERACTIVE, Overload, ServiceClass
from headway.core.types import (
    Accepted,
    Finished,
    Reason,
    Refusal,
    Refused,
    Request,
    Sampling,
    Stepped,
)
from tests.core.timed_world import SLOW_CHAT, World, stamps, tokens_of


@pytest.mark.parametrize("prompt", [4, 600])
def test_who_enters_beside_a_stream_to_come_keeps_within_its_pace(prompt: int):
    chat_class = ServiceClass(name="chat", itl_p95_s=0.05)
    world = World(chat_class, ServiceClass(name="document", ttft_p95_s=5.0), max_seqs=64, max_queued=100)
    chat = world.ask("chat", prompt, max_tokens=50)
    for _ in range(64):
        world.ask("document", 10, max_tokens=200)
    while len(stamps(world, chat)) < 50:
        world.step()
    late = [b - a > 0.05 for a, b in pairwise(stamps(world, chat))]
    assert sum(late) <= 2, "5 in 100"


def test_a_prompt_enters_by_the_pace_of_those_who_run_not_of_a_class_that_may_come():
    world = World(SLOW_CHAT, ServiceClass(name="hurried", itl_p95_s=0.026))
    world.ask("hurried", 4, max_tokens=2)
    while not world.of(Finished):
        world.step()
    chats = {world.ask("chat", 4) for _ in range(4)}  # who decode in 24 ms, together
    for _ in range(4):
        batch = world.step()
    assert set(tokens_of(batch)) == chats


def test_a_prompt_that_can_be_in_time_comes_before_an_older_one_that_cannot():
    world = World()
    hopeless = world.ask("chat", 3000)
    quick = world.ask("chat", 100)
    while not any(e.request_id == quick for e in world.events if hasattr(e, "token")):
        batch = world.step()
    assert world.now < 1.0
    assert hopeless not in tokens_of(batch) or tokens_of(batch)[hopeless] < 50


def test_a_prompt_is_not_given_up_while_it_could_take_all_that_is_left_of_its_time():
    world = World(SLOW_CHAT, BATCH)
    for _ in range(3):
        world.ask("batch", 2000)
    chat = world.ask("chat", 800)  # 0.84 s at the best rate, and not half as quick beside the others
    while not stamps(world, chat):
        world.step()
    assert stamps(world, chat)[0] <= 1.0


def test_a_step_that_brings_a_first_token_ends_when_that_is_due():
    world = World(SLOW_CHAT, BATCH)
    world.ask("batch", 2000)
    chat = world.ask("chat", 100)
    world.now += 0.85  # its prompt takes 120 ms
    world.step()
    assert stamps(world, chat)[0] <= 1.0


def test_a_stream_whose_first_token_came_late_keeps_its_pace_beside_batch_prompts():
    world = World()
    late = world.ask("chat", 4, max_tokens=60)
    world.now += 1.5
    world.step()
    world.ask("batch", 3000)
    stamps = []
    while not world.of(Finished):
        if late in tokens_of(world.step()):
            stamps.append(world.now)
    assert max(b - a for a, b in pairwise(stamps)) <= 0.1


def test_a_deep_batch_queue_and_hopeless_chats_take_turns():
    world = World()
    hopeless = world.ask("chat", 2000)
    world.now += 1.5
    batch = [world.ask("batch", 2000) for _ in range(3)]
    served: Counter[int] = Counter()
    for _ in range(8):
        served.update(tokens_of(world.step()))
    assert 0.6 < served[hopeless] / served.total() < 0.95, "the lower level takes three tenths of its turn"
    assert served[batch[1]] == 0, "one after the other, within a class"


def test_gaps_that_come_late_for_whatever_reason_make_steps_shorter_until_they_are_in_time():
    world = World()
    world.ask("chat", 4, max_tokens=3000)
    world.step()
    world.ask("chat", 3900)
    world.delay_s = 0.05  # between two steps, where no forecast looks
    gaps = []
    for _ in range(120):
        begun_s = world.now
        world.step()
        gaps.append(world.now - begun_s)
    assert max(gaps[:5]) > 0.1
    assert max(gaps[-20:]) <= 0.1


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


def test_a_request_past_its_deadline_ends_before_it_is_prefilled_where_its_class_refuses():
    world = World(SLOW_CHAT, replace(INTERACTIVE, on_overload=Overload.REFUSE), max_seqs=1)
    world.ask("interactive", 20, max_tokens=4000)
    world.step()
    late = world.ask("interactive", 20)
    world.now += 2.1
    world.step()
    (end,) = (e for e in world.of(Finished) if e.request_id == late)
    assert (end.reason, end.output_tokens) == (Reason.EXPIRED, 0)
    assert sum(end.spent_ns) == round(2.1e9) == end.spent_ns.queue


def test_a_class_that_accepts_serves_also_what_its_deadline_has_passed():
    world = World(max_seqs=1)
    world.ask("interactive", 20, max_tokens=40)
    world.step()
    late = world.ask("interactive", 20, max_tokens=1)
    world.now += 2.1
    while not [e for e in world.of(Finished) if e.request_id == late]:
        world.step()
    assert world.of(Finished)[-1].reason is Reason.LENGTH


def test_a_class_with_patience_gets_its_first_slice_in_time_or_ends_expired():
    patient = ServiceClass(name="patient", level=5, max_wait_s=1.0)
    world = World(SLOW_CHAT, patient)
    waiting = world.ask("patient", 300)
    sequence = world.scheduler.residency.waiting[0]
    while not sequence.begun and world.now < 2.0:
        world.ask("chat", 90, max_tokens=2)
        began_s = world.now
        world.step()
    assert began_s <= 1.0
    assert waiting not in [e.request_id for e in world.of(Finished)]


def test_of_many_whose_patience_is_at_its_end_one_a_step_gets_a_little_so_that_streams_keep_their_pace():
    patient = ServiceClass(name="patient", max_wait_s=20.0)
    world = World(replace(SLOW_CHAT, itl_p95_s=0.05), patient, max_seqs=64)
    world.ask("chat", 4, max_tokens=200)
    world.step()
    for _ in range(30):
        world.ask("patient", 300)
    world.now += 15.0
    world.step()
    for _ in range(40):
        began_s = world.now
        world.step()
        assert world.now - began_s <= 0.05 + 0.004 + 1e-9


def test_whoever_was_held_back_by_one_that_expired_is_planned_for_at_once():
    world = World(ServiceClass(name="patient", max_wait_s=1.0))
    sampling, prompt = Sampling(max_tokens=4, seed=0), array("i", [7] * 20)
    twice = Request(99, prompt, sampling, arrival_s=0.0, choices=2, service_class="patient")
    assert world.scheduler.add(twice, 0.0)
    for _ in range(2):
        plan = world.scheduler.plan(3.0)
        assert [e.reason for e in plan.events] == [Reason.EXPIRED]
        assert plan.wake_s == 3.0, "nothing else would wake the engine for the second choice"


def test_choices_whose_prompt_has_begun_do_not_expire():
    world = World(ServiceClass(name="patient", max_wait_s=1.0))
    prompt, sampling = array("i", [7] * 2000), Sampling(max_tokens=4, seed=0)
    twice = Request(99, prompt, sampling, arrival_s=0.0, choices=2, service_class="patient")
    world.scheduler.add(twice, 0.0)
    while world.step():
        pass
    assert world.now > 1.0
    assert [end.reason for end in world.of(Finished)] == [Reason.LENGTH, Reason.LENGTH]


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
    for _ in range(80):
        world.step()
    told = [("chat", "itl") in frame.infeasible for frame in world.of(Stepped)]
    first = told.index(True)
    assert world.of(Stepped)[first].at_s < 1.0, "soon"
    assert all(told[first:]), "and once: it does not come and go"
    prompt = world.ask("chat", 200)
    assert tokens_of(world.step())[prompt] >= 16


@pytest.mark.parametrize(("tight_s", "grows"), [(10.0, True), (0.001, False)])
def test_aimd_grows_while_it_is_quick_enough_and_shrinks_when_not(tight_s, grows):
    world = World(replace(CHAT, itl_p95_s=tight_s), policy=Aimd())
    world.ask("chat", 1000)
    first = world.step()
    for _ in range(5):
        last = world.step()
    assert (last.slices[0].count > first.slices[0].count) is grows
