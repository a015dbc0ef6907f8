"""Prompts as they are asked over HTTP: as long as drawn, alike where a workload says so, else not."""

from array import array
from typing import Any

import pytest

from headway.bench.prompts import as_ids, as_text, first_id, last_id
from headway.bench.workload import Arrival, Prefix

own = Arrival(0.0, "chat", 50, 8, 8)


def sharing(*hashes: int) -> Arrival:
    return own._replace(prefix=Prefix(array("Q", hashes), 16))


def test_prompts_are_as_long_as_drawn() -> None:
    ids, text = as_ids(own, 3, 1), as_text(own, 3, 1)
    assert len(ids) == len(text.split()) == 50
    assert first_id <= min(ids) <= max(ids) <= last_id
    assert len(as_ids(sharing(1, 2, 3, 4, 5), 3, 1)) == 50, "the prefix may be longer than the prompt"


@pytest.mark.parametrize("draw", [as_ids, as_text])
def test_the_same_seed_and_number_give_the_same_prompt_and_no_other_does(draw: Any) -> None:
    assert draw(own, 3, 1) == draw(own, 3, 1)
    assert draw(own, 3, 1) != draw(own, 4, 1)
    assert draw(own, 3, 1) != draw(own, 3, 2)


def test_what_is_shared_begins_alike_and_goes_on_otherwise() -> None:
    drawn = [as_ids(sharing(*pair), number, 1) for number, pair in enumerate(((7, 8), (7, 8), (7, 9)))]
    first, second, third = drawn
    assert first[:32] == second[:32]
    assert first[32:] != second[32:]
    assert first[:16] == third[:16]
    assert first[16:32] != third[16:32]
