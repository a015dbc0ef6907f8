"""Native mixing answers as torch's does, over any shape; and a query's bits depend on nothing around it."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headway.kernels.library import Kernels
from headway.model.inputs import SequenceInputs, StepInputs
from headway.model.kv import KVCache
from headway.model.mixing import PlainMixing
from headway.model.native import NativeMixing, native_parts
from tests.kernels.steps import Conversation, Shape, Slice, answers, inputs_of

shapes = st.builds(
    lambda group, kv_heads, **rest: Shape(group * kv_heads, kv_heads, **rest),
    st.integers(1, 9),
    st.integers(1, 3),
    dim=st.sampled_from([8, 16, 24, 64, 80]),
    block=st.sampled_from([1, 3, 4, 16]),
    window=st.none() | st.integers(1, 200),
    qk_norm=st.booleans(),
)
lengths = st.tuples(st.integers(0, 300), st.just(1) | st.integers(1, 70))
often = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def slices_of(shape: Shape, mix: list[tuple[int, int]]) -> list[Slice]:
    return [
        (Conversation.drawn(shape, start + count, seed), start, count)
        for seed, (start, count) in enumerate(mix)
    ]


@often
@given(shapes, st.lists(lengths, min_size=1, max_size=5))
def test_any_step_is_answered_as_by_torch(kernels: Kernels, shape: Shape, mix: list[tuple[int, int]]) -> None:
    slices = slices_of(shape, mix)
    ours = answers(NativeMixing(shape.spec(), kernels), shape, slices)
    plain = answers(PlainMixing(shape.spec()), shape, slices)
    for one, other in zip(ours, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize(("start", "count"), [(3000, 1), (2500, 200), (511, 1), (512, 1), (127, 2)])
@pytest.mark.parametrize("window", [None, 700])
def test_long_contexts(kernels: Kernels, start: int, count: int, window: int | None) -> None:
    shape = Shape(dim=64, block=16, window=window)
    slices = slices_of(shape, [(start, count), (5, 1)])
    ours = answers(NativeMixing(shape.spec(), kernels), shape, slices)
    plain = answers(PlainMixing(shape.spec()), shape, slices)
    for one, other in zip(ours, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("window", [None, 150])
@pytest.mark.parametrize("dim", [24, 64])
def test_a_query_has_the_same_bits_on_every_road(
    kernels: Kernels, threads_restored: None, window: int | None, dim: int
) -> None:
    """Alone, in company, as a decode, in chunks of any size, with one thread and with two."""
    shape = Shape(heads=9, kv_heads=3, dim=dim, block=16, window=window)
    mixing = NativeMixing(shape.spec(), kernels)
    talk, others = Conversation.drawn(shape, 900, 99), slices_of(shape, [(130, 1), (0, 77), (600, 9)])
    torch.set_num_threads(1)
    (whole,) = answers(mixing, shape, [(talk, 0, 900)])
    assert whole.isfinite().all()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for start, count in [(0, 900), (899, 1), (127, 1), (128, 2), (640, 1), (300, 256), (1, 130)]:
            (alone,) = answers(mixing, shape, [(talk, start, count)], seed=start)
            assert torch.equal(alone, whole[start : start + count]), (threads, start, count)
            company = answers(mixing, shape, [*others, (talk, start, count)], seed=count)
            assert torch.equal(company[-1], whole[start : start + count]), (threads, start, count)


def test_a_head_whose_size_no_vector_divides_is_torchs(kernels: Kernels) -> None:
    assert isinstance(native_parts(Shape(dim=12).spec(), kernels).mixing, PlainMixing)
    assert isinstance(native_parts(Shape(dim=24).spec(), kernels).mixing, NativeMixing)


def a_step() -> tuple[StepInputs, KVCache, Shape]:
    shape = Shape()
    slices = slices_of(shape, [(5, 1), (2, 3)])
    inputs = inputs_of(slices, [torch.tensor([1, 4]), torch.tensor([0, 2])], shape.block)
    return inputs, KVCache(shape.spec(), 5, shape.block, torch.float32), shape


def replaced(inputs: StepInputs, **changes: object) -> StepInputs:
    names = ("tokens", "positions", "slots", "rows", "sequences")
    return StepInputs(**{name: getattr(inputs, name) for name in names} | changes)


@pytest.mark.parametrize(
    "hostile",
    [
        lambda i: replaced(i, slots=torch.full_like(i.slots, 20)),
        lambda i: replaced(i, slots=torch.full_like(i.slots, -1)),
        lambda i: replaced(i, slots=i.slots.int()),
        lambda i: replaced(i, slots=i.slots[:-1]),
        lambda i: replaced(i, positions=i.positions[:-1]),
        lambda i: replaced(i, sequences=i.sequences[:1]),
        lambda i: replaced(i, sequences=[SequenceInputs(0, 4, 5, torch.tensor([1, 4]))]),
        lambda i: replaced(i, sequences=[SequenceInputs(0, 4, -1, torch.tensor([1, 4]))]),
        lambda i: replaced(i, sequences=[SequenceInputs(1, 4, 0, torch.tensor([1, 4]))]),
        lambda i: replaced(i, sequences=[SequenceInputs(-1, 4, 0, torch.tensor([1, 4]))]),
        lambda i: replaced(i, sequences=[SequenceInputs(0, 4, 0, torch.tensor([5, 4]))]),
        lambda i: replaced(i, sequences=[SequenceInputs(0, 4, 0, torch.tensor([-1, 4]))]),
    ],
)
def test_what_points_outside_never_reaches_c(kernels: Kernels, hostile) -> None:
    inputs, kv, shape = a_step()
    mixing = NativeMixing(shape.spec(), kernels)
    mixing.plan(inputs, kv)
    with pytest.raises(AssertionError):
        mixing.plan(hostile(inputs), kv)


def test_a_cache_of_another_shape_is_refused(kernels: Kernels) -> None:
    inputs, _, shape = a_step()
    other = KVCache(Shape(kv_heads=1).spec(), 5, shape.block, torch.float32)
    with pytest.raises(AssertionError):
        NativeMixing(shape.spec(), kernels).plan(inputs, other)


@pytest.mark.parametrize("bits", [0x7FC00000, 0x7FC00001, 0x7F800001, -1, -0x3FFFFF])
def test_whatever_nan_a_seen_key_holds_its_query_is_nan(kernels: Kernels, bits: int) -> None:
    """Or a sequence whose numbers have gone wrong would not be seen to fail."""
    shape = Shape(heads=2, kv_heads=1)
    good, bad = Conversation.drawn(shape, 9, 1), Conversation.drawn(shape, 9, 2)
    bad.qkv[4, 2 * shape.dim : 3 * shape.dim] = torch.tensor(bits, dtype=torch.int32).view(torch.float32)
    unhurt, spoiled = answers(NativeMixing(shape.spec(), kernels), shape, [(good, 8, 1), (bad, 8, 1)])
    assert unhurt.isfinite().all()
    assert spoiled.isnan().all()
