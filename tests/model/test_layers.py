"""The parts of a block do their arithmetic."""

import pytest
import torch
from torch.nn import functional

from headway.model.kv import KVCache
from headway.model.layers import Linear, RMSNorm
from headway.model.rope import Angles, inverse_frequencies
from headway.spec import DivisorScaling, Llama3Scaling, ModelSpec, Rope


@pytest.mark.parametrize("rows", [0, 1, 3, 17])
@pytest.mark.parametrize("biased", [False, True])
def test_a_packed_linear_map_agrees_with_the_plain_product(rows: int, biased: bool) -> None:
    weight, x = torch.randn(24, 40), torch.randn(rows, 40)
    bias = torch.randn(24) if biased else None
    torch.testing.assert_close(Linear(weight, bias)(x), functional.linear(x, weight, bias))


@pytest.mark.parametrize("size", [0.0, 1e-3, 1.0, 1e4])
def test_a_norm_agrees_with_torch_s_own(size: float) -> None:
    x, weight = torch.randn(5, 3, 16) * size, torch.randn(16)
    torch.testing.assert_close(RMSNorm(weight, 1e-5)(x), functional.rms_norm(x, (16,), weight, 1e-5))


def test_a_norm_works_in_float32_and_leaves_rows_in_their_own_dtype() -> None:
    x, weight = torch.randn(5, 16).bfloat16(), torch.randn(16).bfloat16()
    exact = functional.rms_norm(x.float(), (16,), weight.float(), 1e-6)
    assert torch.equal(RMSNorm(weight, 1e-6)(x), exact.bfloat16())


def test_divisors_say_what_llama3_scaling_says() -> None:
    plain = inverse_frequencies(Rope(500.0), 16)
    scaled = inverse_frequencies(Rope(500.0, Llama3Scaling(8.0, 1.0, 4.0, 64)), 16)
    assert (plain / scaled).unique().numel() > 2  # kept, blended and divided ones
    divided = inverse_frequencies(Rope(500.0, DivisorScaling(tuple((plain / scaled).tolist()))), 16)
    torch.testing.assert_close(divided, scaled)


def test_a_rotation_depends_only_on_the_distance() -> None:
    query, key = torch.randn(1, 1, 8), torch.randn(1, 1, 8)

    def score(query_at: int, key_at: int) -> float:
        turned = [query.clone(), key.clone()]
        for heads, position in zip(turned, (query_at, key_at), strict=True):
            Angles(Rope(100.0), torch.tensor([position]), 8, torch.float32).rotate_(heads)
        return float((turned[0] * turned[1]).sum())

    assert score(9, 4) == pytest.approx(score(105, 100), abs=1e-4)
    assert score(9, 4) != pytest.approx(score(9, 5), abs=1e-3)


def test_the_cache_takes_the_bytes_that_the_spec_says() -> None:
    rope = (Rope(10000.0),) * 2
    spec = ModelSpec(
        family="llama", layers=2, hidden=32, heads=4, kv_heads=2, head_dim=8, ffn=8, vocab=9,
        max_positions=64, norm_eps=1e-5, ropes=rope, windows=(None, None), attention_scale=0.3, tied=True,
    )  # fmt: skip
    kv = KVCache(spec, blocks=5, block_size=4, dtype=torch.float32)
    assert sum(layer.nbytes for layer in kv.layers) == 5 * 4 * spec.kv_bytes_per_token(4)
    kv.layers[1].fill_(3.0)
    kv.take_memory()
    assert not any(layer.any() for layer in kv.layers)
