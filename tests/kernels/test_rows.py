"""Linear maps, norms and gates answer as torch's do, at odd sizes; a row's bits depend on no other row."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headway.kernels.library import Kernels
from headway.model.layers import Linear, RMSNorm
from headway.model.native import NativeGate, NativeLinear, NativeNorm
from headway.model.parts import plain_gate

often = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
sizes = st.integers(1, 300)
rows = st.integers(0, 40)


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@often
@given(rows, sizes, sizes, st.booleans())
def test_a_linear_map(kernels: Kernels, rows: int, inputs: int, outputs: int, biased: bool) -> None:
    x, weight, bias = drawn(rows, inputs), drawn(outputs, inputs), drawn(outputs) if biased else None
    ours = NativeLinear(kernels, weight, bias)(x)
    torch.testing.assert_close(ours, torch.nn.functional.linear(x, weight, bias), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("inputs", "outputs"), [(576, 192), (1536, 64), (100, 70)])
def test_a_row_is_mapped_to_the_same_bits_alone_and_among_many(
    kernels: Kernels, threads_restored: None, inputs: int, outputs: int
) -> None:
    x, native = drawn(800, inputs), NativeLinear(kernels, drawn(outputs, inputs), drawn(outputs))
    torch.set_num_threads(1)
    whole = native(x)
    torch.testing.assert_close(whole, Linear(drawn(outputs, inputs), drawn(outputs))(x), rtol=1e-4, atol=1e-3)
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for first, count in [(0, 800), (0, 1), (799, 1), (5, 7), (100, 64), (311, 200)]:
            assert torch.equal(native(x[first : first + count]), whole[first : first + count])


@often
@given(rows, sizes, st.booleans())
def test_a_norm_after_an_addition(kernels: Kernels, rows: int, width: int, adds: bool) -> None:
    weight, added = drawn(width), drawn(rows, width) * 3 if adds else None
    ours, plain = drawn(rows, width), drawn(rows, width)
    normed = NativeNorm(kernels, weight, 1e-5)(ours, added)
    torch.testing.assert_close(normed, RMSNorm(weight, 1e-5)(plain, added), rtol=1e-4, atol=1e-5)
    assert torch.equal(ours, plain), "the residual itself is exact"


@often
@given(rows, sizes, st.sampled_from([0.1, 1.0, 30.0, 300.0]))
def test_a_gate(kernels: Kernels, rows: int, width: int, scale: float) -> None:
    gate_up = drawn(rows, 2 * width) * scale
    torch.testing.assert_close(
        NativeGate(kernels)(gate_up), plain_gate("silu")(gate_up), rtol=1e-4, atol=1e-5
    )


def test_a_nan_stays_one_and_stays_in_its_row(kernels: Kernels) -> None:
    x = drawn(9, 64)
    clean = NativeLinear(kernels, drawn(64, 64), None)(x), NativeNorm(kernels, drawn(64), 1e-5)(x)
    x[4, 3] = float("nan")
    spoiled = NativeLinear(kernels, drawn(64, 64), None)(x), NativeNorm(kernels, drawn(64), 1e-5)(x)
    for before, after in zip(clean, spoiled, strict=True):
        assert after[4].isnan().all()
        assert torch.equal(after[:4], before[:4])
        assert torch.equal(after[5:], before[5:])
    gated = NativeGate(kernels)(x)
    assert gated[4, 3].isnan()


def test_other_types_and_shapes_never_reach_c(kernels: Kernels) -> None:
    with pytest.raises(AssertionError):
        NativeLinear(kernels, drawn(8, 16), drawn(1))
    with pytest.raises(AssertionError):
        NativeGate(kernels)(drawn(3, 7))
    native = NativeLinear(kernels, drawn(8, 16), None)
    for wrong in (drawn(3, 17), drawn(3, 16).double(), drawn(16, 3).t()):
        with pytest.raises(AssertionError):
            native(wrong)
    with pytest.raises(AssertionError):
        NativeNorm(kernels, drawn(16), 1e-5)(drawn(3, 16), drawn(2, 16))
