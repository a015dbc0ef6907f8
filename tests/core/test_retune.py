"""Other classes, another policy and a request's own targets: from the next step on, for whoever is here."""

from dataclasses import replace

from headway.core.policies import Aimd
from headway.core.slo import BATCH, CHAT, NO_TARGETS, Targets
from headway.core.types import (
    Accepted,
)
from tests.core.timed_world import SLOW_CHAT, World, tokens_of


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
        record.gap(0.06, 0.05)
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
    assert world.scheduler.learned.records["chat"].late_gaps <= 1, "it says nothing of its class"
