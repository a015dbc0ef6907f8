"""What every executor promises the engine (core/ports.py), whatever computes behind it."""

from array import array
from collections.abc import Iterator

import pytest

from headway.core.ports import ExecutorDied
from headway.core.types import Batch, Grown, Joined, Outcome, Result, Sampling, Slice
from tests.contracts.rigs import BROKEN, DEPTH, FATAL, RIGS, Rig


@pytest.fixture(params=RIGS)
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    made = RIGS[request.param]()
    yield made
    made.close()


def joined(id: int, tokens: int = 3, known: tuple[int, ...] = ()) -> Joined:
    """A sequence whose prompt is its id over and over, with room for eight tokens."""
    all_known = array("i", [id] * tokens + list(known))
    sampling = Sampling(temperature=0.0)
    return Joined(id, all_known, tokens, 0, sampling, ((2 * id, 2 * id + 1),))


def prompt(batch_id: int, *ids: int) -> Batch:
    """A batch in which these sequences join and their whole prompts are computed."""
    slices = tuple(Slice(id, 0, 3, samples=True) for id in ids)
    return Batch(batch_id, (), tuple(joined(id) for id in ids), (), slices)


def decode(batch_id: int, start: int, *ids: int) -> Batch:
    return Batch(batch_id, (), (), (), tuple(Slice(id, start, 1, samples=True) for id in ids))


def finished(rig: Rig) -> Result:
    """The oldest batch's result, once it is done."""
    rig.finish()
    result = rig.executor.collect()
    assert result is not None
    return result


def outcomes(rig: Rig, batch: Batch) -> list[Outcome]:
    """Run one batch to its end."""
    rig.executor.submit(batch)
    result = finished(rig)
    assert result.batch_id == batch.id
    return list(result.outcomes)


def test_it_says_how_many_batches_it_takes_and_whether_a_sequence_may_be_in_several(rig: Rig) -> None:
    assert rig.executor.depth == DEPTH
    assert rig.executor.exclusive is rig.exclusive


def test_nothing_is_collected_before_anything_is_submitted(rig: Rig) -> None:
    assert rig.executor.collect() is None


def test_submit_returns_while_the_step_runs_and_collect_gives_none_until_it_is_done(rig: Rig) -> None:
    rig.executor.submit(prompt(1, 5))
    assert rig.executor.collect() is None
    rig.finish()
    assert rig.executor.collect().batch_id == 1
    assert rig.executor.collect() is None


def test_results_come_in_the_order_of_their_batches_and_each_once(rig: Rig) -> None:
    for batch_id in (4, 2, 9):
        rig.executor.submit(prompt(batch_id, batch_id))
    assert [finished(rig).batch_id for _ in range(3)] == [4, 2, 9]
    assert rig.executor.collect() is None


def test_steps_have_a_start_and_an_end_and_ends_are_in_order(rig: Rig) -> None:
    for batch_id in range(3):
        rig.executor.submit(prompt(batch_id, 5 + batch_id))
    results = [finished(rig) for _ in range(3)]
    assert all(result.start_s <= result.end_s for result in results)
    assert [result.end_s for result in results] == sorted(result.end_s for result in results)
    assert [result.start_s for result in results] == sorted(result.start_s for result in results)


def test_outcomes_are_in_the_order_of_the_slices(rig: Rig) -> None:
    assert [outcome.id for outcome in outcomes(rig, prompt(0, 9, 3, 7))] == [9, 3, 7]


def test_a_slice_that_samples_gives_one_token_and_one_that_does_not_gives_none(rig: Rig) -> None:
    batch = Batch(0, (), (joined(5),), (), (Slice(5, 0, 2, samples=False),))
    assert outcomes(rig, batch) == [Outcome(5)]
    (last,) = outcomes(rig, Batch(1, (), (), (), (Slice(5, 2, 1, samples=True),)))
    assert len(last.tokens) == 1
    assert last.failure is None


def test_a_token_may_be_computed_by_the_next_batch_before_anyone_has_seen_it(rig: Rig) -> None:
    one_by_one = outcomes(rig, prompt(0, 5)) + outcomes(rig, decode(1, 3, 5)) + outcomes(rig, decode(2, 4, 5))
    rig.executor.submit(Batch(3, (5,), (joined(5),), (), (Slice(5, 0, 3, samples=True),)))
    rig.executor.submit(decode(4, 3, 5))
    rig.executor.submit(decode(5, 4, 5))
    assert [finished(rig).outcomes[0] for _ in range(3)] == one_by_one


def test_a_sequence_may_be_gone_and_joined_again_in_one_batch_and_goes_on_where_it_was(rig: Rig) -> None:
    (first,), (second,) = outcomes(rig, prompt(0, 5)), outcomes(rig, decode(1, 3, 5))
    (third,) = outcomes(rig, decode(2, 4, 5))
    back = joined(5, known=first.tokens + second.tokens)
    again = outcomes(rig, Batch(3, (5,), (back,), (), (Slice(5, 0, 5, samples=True),)))
    assert again == [third]


def test_blocks_that_a_batch_brings_are_there_for_its_slices(rig: Rig) -> None:
    room = outcomes(rig, prompt(0, 5)) + [outcomes(rig, decode(n, 2 + n, 5))[0] for n in range(1, 4)]
    short = joined(5)._replace(tables=((10,),))
    tight = outcomes(rig, Batch(4, (5,), (short,), (), (Slice(5, 0, 3, samples=True),)))
    tight += outcomes(rig, decode(5, 3, 5))
    grown = Batch(6, (), (), (Grown(5, ((11,),)),), (Slice(5, 4, 1, samples=True),))
    tight += outcomes(rig, grown) + outcomes(rig, decode(7, 5, 5))
    assert tight == room


def test_one_sequences_failure_leaves_the_batch_and_the_others_alone(rig: Rig) -> None:
    expected = [outcomes(rig, prompt(0, 5))[0], outcomes(rig, prompt(1, 7))[0]]
    gone = Batch(2, (5, 7), tuple(joined(id) for id in (5, BROKEN, 7)), (), prompt(2, 5, BROKEN, 7).slices)
    first, failed, last = outcomes(rig, gone)
    assert [first, last] == expected
    assert failed.failure
    assert failed.tokens == ()


def test_a_failed_sequences_work_in_flight_fails_too_until_it_is_gone(rig: Rig) -> None:
    rig.executor.submit(prompt(0, BROKEN, 5))
    rig.executor.submit(decode(1, 3, BROKEN, 5))
    for _ in range(2):
        failed, well = finished(rig).outcomes
        assert failed.failure
        assert len(well.tokens) == 1
    assert outcomes(rig, Batch(2, (BROKEN,), (), (), (Slice(5, 4, 1, samples=True),)))[0].failure is None


def test_a_sequence_that_is_gone_leaves_no_trace_on_another_that_gets_its_blocks(rig: Rig) -> None:
    expected = outcomes(rig, prompt(0, 5))
    outcomes(rig, prompt(1, 8))
    taken = joined(5)._replace(tables=(joined(8).tables[0],))
    assert outcomes(rig, Batch(2, (5, 8), (taken,), (), (Slice(5, 0, 3, samples=True),))) == expected


def test_what_was_done_before_its_death_is_collected_and_then_it_says_that_it_died(rig: Rig) -> None:
    rig.executor.submit(prompt(0, 5))
    rig.executor.submit(prompt(1, 7, FATAL))
    rig.executor.submit(prompt(2, 8))
    assert finished(rig).batch_id == 0
    assert rig.executor.collect() is None
    rig.finish()
    for _ in range(2):
        with pytest.raises(ExecutorDied):
            rig.executor.collect()
    rig.executor.submit(prompt(3, 9))
    with pytest.raises(ExecutorDied):
        rig.executor.collect()
