"""A live change's life: in force, on trial, kept, replaced or rolled back."""

import logging

import pytest

from headway.server.listening import EngineGone
from tests.server.tuned_world import World, in_a_world, settings


def test_a_change_is_in_force_at_once_at_both_ends() -> None:
    async def story(world: World) -> None:
        await world.change(classes="chat:itl=80ms;new:ttft=2s", policy="adaptive")
        ((classes, policy),) = world.engine.taken
        assert policy == "adaptive"
        assert classes == world.tuning.in_force.classes == world.ledger.classes
        assert (classes["chat"].itl_p95_s, classes["new"].ttft_p95_s) == (0.08, 2.0)
        assert classes["gold"] == settings.classes["gold"], "what is not named stays"
        assert world.live["state"] == "trial"
        assert [c["name"] for c in world.live["before"]["classes"]] == ["chat"]
        assert [c["name"] for c in world.live["now"]["classes"]] == ["chat", "new"]

    in_a_world(story)


def test_a_change_that_does_no_harm_is_kept() -> None:
    async def story(world: World) -> None:
        world.serve("gold", good=30)
        await world.change(policy="adaptive")
        await world.move(1.0)
        world.serve("gold", good=30)
        await world.move(58.0)
        assert world.live["state"] == "trial"
        await world.move(1.0)
        assert world.live["state"] == "kept"
        assert "no fall by more than 5 points: gold" in world.live["why"]
        assert "too few requests to judge by: chat" in world.live["why"]

    world = in_a_world(story)
    assert len(world.engine.taken) == 1
    assert world.ledger.retunes == {"kept": 1}


def test_one_that_does_is_rolled_back_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "headway.slo")

    async def story(world: World) -> None:
        world.serve("gold", good=98, late=2)
        await world.change(policy="adaptive", classes="gold:ttft=300ms;new:ttft=1s")
        await world.move(59.0)
        world.serve("gold", good=83, late=17)
        assert world.live["attainment"][-2] == {
            "name": "gold",
            "before": {"requests": 100, "attainment": 0.98},
            "after": {"requests": 100, "attainment": 0.83},
        }
        await world.move(1.0)

    world = in_a_world(story)
    why = "within 60 s attainment of class gold fell from 98.0 % of 100 to 83.0 % of 100 requests"
    assert (world.live["state"], world.live["why"]) == ("rolled_back", why)
    assert world.engine.taken[-1] == (settings.classes, "stall-free")
    assert world.tuning.in_force == (settings.classes, "stall-free")
    assert world.ledger.classes == settings.classes
    assert world.ledger.retunes == {"rolled_back": 1}
    assert not world.ledger.on_trial
    record = [r for r in caplog.records if r.levelno == logging.WARNING][-1]
    assert record.getMessage() == f"live change 1 is rolled back: {why}"


def test_a_tighter_promise_that_is_often_missed_is_no_harm_by_itself() -> None:
    async def story(world: World) -> None:
        world.serve("gold", good=100)
        await world.change(classes="gold:ttft=50ms")
        await world.move(1.0)
        world.serve("gold", good=100)
        assert world.ledger.kept["gold"].violated["ttft"] == 100, "0.1 s is late now"
        await world.move(59.0)

    assert in_a_world(story).live["state"] == "kept"


def test_who_still_waits_and_is_late_counts_so_that_starving_is_no_way_to_be_kept() -> None:
    async def story(world: World) -> None:
        world.serve("gold", good=40)
        await world.change(policy="adaptive")
        world.wait("gold", 25)
        await world.move(60.0)

    assert in_a_world(story).live["state"] == "rolled_back"


def test_what_is_certain_is_rolled_back_at_once() -> None:
    async def story(world: World) -> None:
        world.serve("gold", good=100)
        await world.change(policy="adaptive")
        await world.move(0.5)
        world.serve("gold", good=0, late=5)
        await world.move(0.5)

    world = in_a_world(story)
    assert world.live["state"] == "rolled_back"
    assert world.live["why"].startswith("within 1 s attainment of class gold fell")


def test_while_too_few_requests_come_to_tell_the_trial_goes_on_for_three_windows() -> None:
    async def story(world: World) -> None:
        world.serve("gold", good=3)
        await world.change(policy="adaptive")
        world.serve("gold", good=0, late=2)
        for second in range(180):
            assert world.live["state"] == "trial", second
            await world.move(1.0)

    world = in_a_world(story)
    assert world.live["state"] == "kept"
    assert world.live["why"] == "too few requests to judge by: chat, interactive, gold, silver"


def test_without_rollback_it_is_kept_at_once() -> None:
    async def story(world: World) -> None:
        await world.change(policy="adaptive", rollback=False)
        assert (world.live["state"], world.live["rollback"]) == ("kept", None)
        world.serve("gold", good=0, late=100)
        await world.move(100.0)
        assert len(world.engine.taken) == 1

    in_a_world(story)


def test_a_second_change_takes_the_place_of_one_on_trial_and_answers_for_both() -> None:
    async def story(world: World) -> None:
        world.serve("gold", good=100)
        await world.change(policy="adaptive")
        await world.move(40.0)
        world.serve(
            "gold", good=0, late=100
        )  # what the first one did is not what the second is compared with
        await world.change(classes="gold:weight=2")
        await world.move(20.0)
        assert world.live["state"] == "trial", "the first one's window is over, and nobody minds"
        world.serve("gold", good=0, late=100)
        await world.move(40.0)

    world = in_a_world(story)
    assert (world.live["number"], world.live["state"]) == (2, "rolled_back")
    assert world.live["rollback"]["to"]["policy"] == "stall-free"
    assert world.tuning.in_force == (settings.classes, "stall-free"), "what was last kept"
    assert world.ledger.retunes == {"replaced": 1, "rolled_back": 1}


def test_going_back_to_what_was_last_kept_needs_no_trial() -> None:
    async def story(world: World) -> None:
        await world.change(policy="adaptive")
        await world.change(policy="stall-free")
        assert (world.live["state"], world.live["why"]) == ("kept", "it is what was last kept")

    assert in_a_world(story).ledger.retunes == {"replaced": 1, "kept": 1}


def test_before_is_what_was_last_kept_and_no_time_before_that() -> None:
    async def story(world: World) -> None:
        world.serve("gold", good=100)
        await world.change(policy="adaptive", rollback=False)
        await world.move(10.0)
        world.serve("gold", good=50, late=50)
        await world.change(classes="gold:weight=2")
        await world.move(10.0)
        world.serve("gold", good=50, late=50)
        await world.move(50.0)

    assert in_a_world(story).live["state"] == "kept"


def test_fifty_changes_in_a_row_end_with_the_last_on_trial() -> None:
    async def story(world: World) -> None:
        for i in range(50):
            await world.change(classes=f"gold:weight={i + 2}")
        assert (world.live["number"], world.live["state"]) == (50, "trial")
        await world.move(60.0)

    world = in_a_world(story)
    assert world.ledger.retunes == {"replaced": 49, "kept": 1}
    assert world.tuning.in_force.classes["gold"].weight == 51


def test_the_trial_begins_when_the_engine_takes_the_change() -> None:
    async def story(world: World) -> None:
        world.engine.slow = True
        await world.change(policy="adaptive")
        assert world.live["applied_at"] is None
        await world.move(100.0)
        assert world.live["state"] == "trial"
        assert world.tuning.last is not None
        world.tuning.last.applied.set_result(world.clock.now())
        await world.settle()
        await world.move(60.0)
        assert world.live["state"] == "kept"

    in_a_world(story)


def test_one_that_is_replaced_before_it_was_taken_is_still_told_when_it_was() -> None:
    async def story(world: World) -> None:
        world.engine.slow = True
        await world.change(policy="adaptive")
        first = world.tuning.last
        await world.change(classes="gold:weight=2")
        assert first is not None
        first.applied.set_result(world.clock.now())
        assert first.applied_s == world.clock.now()

    in_a_world(story)


def test_when_the_engine_is_gone_nothing_is_changed_and_nothing_is_judged() -> None:
    async def story(world: World) -> None:
        world.serve("gold", good=50)
        await world.change(policy="adaptive")
        world.engine.gone = True
        with pytest.raises(EngineGone):
            await world.change(classes="gold:weight=9")
        assert world.tuning.in_force == (settings.classes, "adaptive")
        world.wait("gold", 50)
        await world.move(60.0)
        assert world.live["state"] == "trial"

    in_a_world(story)
