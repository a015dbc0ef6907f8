"""The grid: what is in it, and that it keeps to the room there is."""

import pytest

from headway.bench.grid import Room, fits, grid

room = Room(tokens=35_000, longest=8192)


def test_kinds_and_the_share_that_is_held_out() -> None:
    wanted = grid(room)
    for kind in ("decode", "prefill", "mixed"):
        ours = [each for each in wanted if each.kind == kind]
        assert 0.2 <= sum(each.held_out for each in ours) / len(ours) <= 0.3
    assert {group.sequences for w in wanted if w.kind == "decode" for group in w.groups} >= {1, 2, 4, 8, 64}
    prompts = {group.count for w in wanted if w.kind == "prefill" for group in w.groups}
    assert {4, 16, 64, 256, 2048} <= prompts


def test_held_out_batches_are_none_of_the_others() -> None:
    wanted = grid(room)
    fitted = {each.groups for each in wanted if not each.held_out}
    assert not fitted & {each.groups for each in wanted if each.held_out}


@pytest.mark.parametrize("small", [Room(5000, 512), Room(2000, 8192), Room(35_000, 300, most_tokens=256)])
def test_small_pools_short_contexts_and_short_steps_get_what_fits(small: Room) -> None:
    wanted = grid(small)
    assert all(fits(each, small) for each in wanted)
    assert {each.kind for each in wanted} == {"decode", "prefill", "mixed"}
    assert len(wanted) < len(grid(room))


def test_it_is_the_same_every_time() -> None:
    assert grid(room) == grid(room)
    assert grid(room) != grid(room, seed=1)
