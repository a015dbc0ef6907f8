"""Batches that an executor is measured with are such as an engine sends."""

from headway.bench.drive import decode_steps
from headway.bench.grid import decode
from headway.profile.file import Group
from tests.bench.exact_machine import ExactMachine
from tests.profile.made_up import FACTORS


def test_decodes_have_joined_before_and_go_on_from_step_to_step() -> None:
    machine = ExactMachine(FACTORS)
    took_s = machine.driver().visit((decode(3, 16),))
    joining, *steps = machine.batches
    assert (len(joining.joined), joining.slices) == (3, ())
    assert [[slice.start for slice in step.slices] for step in steps] == [[n] * 3 for n in (13, 14, 15, 16)]
    assert [len(step.grown) for step in steps] == [0, 0, 0, 3]
    assert len(took_s) == decode_steps


def test_a_prompt_joins_in_the_step_that_begins_it_and_before_one_that_goes_on() -> None:
    machine = ExactMachine(FACTORS)
    driver = machine.driver()
    driver.visit((Group(2, 0, 50, True),))
    assert [len(batch.joined) for batch in machine.batches] == [2]
    machine.batches.clear()
    driver.visit((Group(1, 64, 50, False),))
    assert [(len(b.gone), len(b.joined), len(b.slices)) for b in machine.batches] == [
        (2, 0, 0),
        (0, 1, 0),
        (0, 0, 1),
    ]


def test_no_block_is_two_sequences_and_all_come_back() -> None:
    machine = ExactMachine(FACTORS)
    driver = machine.driver(blocks=12)
    for _ in range(5):
        driver.visit((decode(2, 30), Group(1, 0, 100, True)))
        *_, step = machine.batches
        tables = [one.tables[0] for batch in machine.batches[-2:] for one in batch.joined]
        blocks = [block for table in tables for block in table]
        assert len(blocks) == len(set(blocks)) == 2 + 2 + 7
        assert [(slice.start, slice.count) for slice in step.slices] == [(29, 1), (29, 1), (0, 100)]
    driver.clear()
    assert len(machine.batches[-1].gone) == 3
