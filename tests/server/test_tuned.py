"""What a live change may ask for; whatever is wrong is told with its field, before anything is done."""

from dataclasses import replace

import pytest

from headway.classes import most_classes, most_names
from headway.server.errors import ApiError
from headway.server.schema import Tune
from headway.server.tuned import Tuned, asked_for
from tests.server.tuned_world import World, in_a_world, settings


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({}, "classes", "the body changes nothing"),
        ({"remove": []}, "classes", "the body changes nothing"),
        ({"classes": " ;; "}, "classes", "the body changes nothing"),
        ({"rollback": False}, "classes", "the body changes nothing"),
        ({"policy": "best"}, "policy", "'best' is not allowed; it must be one of stall-free, adaptive"),
        ({"classes": "gold"}, "classes", "gold:ttft=200ms"),
        ({"classes": "gold:ttft=0"}, "classes", "gold: ttft is 0; it must be from 1ms to 86400s, or none"),
        ({"classes": "gold:weight=1e309"}, "classes", "must be above 0 and finite"),
        ({"classes": "flex:ttft=1s"}, "classes", "a word of OpenAI's service_tier"),
        ({"classes": "gold:on-overload=downgrade:silver"}, "classes", "go in a circle"),
        ({"classes": ";".join(f"c{i}:level=1" for i in range(most_classes))}, "classes", "over the limit"),
        ({"remove": ["bronze"]}, "remove", "'bronze' is no class; there are chat, interactive, batch, gold"),
        ({"remove": ["chat"]}, "remove", "chat is built in and stays"),
        ({"remove": ["silver"]}, "remove", "silver is what --default-class names"),
        ({"remove": ["gold"]}, "remove", "silver: it is downgraded to 'gold', no class"),
        ({"policy": "adaptive", "rollback": False, "window_s": 9.0}, "window_s", "rollback is false"),
    ],
)
def test_what_is_wrong_is_told_with_its_field_and_changes_nothing(
    fields: dict[str, object], param: str, words: str
) -> None:
    async def story(world: World) -> None:
        with pytest.raises(ApiError) as refused:
            await world.change(**fields)
        assert (refused.value.status, refused.value.param) == (400, param)
        assert words in refused.value.message

    world = in_a_world(story)
    assert world.engine.taken == []
    assert world.tuning.in_force == (settings.classes, "stall-free")
    assert world.live is None


@pytest.mark.parametrize(
    ("led", "option"),
    [
        ({"aliases": {"nightly": "gold"}}, "--alias nightly"),
        ({"class_keys": {"geheim": "gold"}}, "a --class-key"),
    ],
)
def test_a_class_that_a_name_or_a_key_leads_to_stays(led: dict[str, dict[str, str]], option: str) -> None:
    now = Tuned(settings.classes, settings.policy)
    with pytest.raises(ApiError, match=f"remove: gold is what {option} names, and stays"):
        asked_for(Tune(remove=["gold"]), now, (), replace(settings, **led))


def test_names_of_classes_are_bounded_since_each_stays_in_the_metrics() -> None:
    async def story(world: World) -> None:
        for first in (0, 20, 40):
            names = [f"c{first + i}" for i in range(20 if first < 40 else 19)]
            await world.change(classes=";".join(f"{name}:level=1" for name in names), rollback=False)
            await world.change(remove=names, rollback=False)
        with pytest.raises(ApiError, match="there were 65 names since the start, over the limit of 64"):
            await world.change(classes="one-more:level=1")
        assert len(world.ledger.known) == most_names
        await world.change(classes="c0:level=2")

    in_a_world(story)
