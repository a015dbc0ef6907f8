"""The paged KV cache: one tensor a layer, allocated once.

Owns the layout and knows nothing of who holds which block. A slot's K and V of all heads lie side by side, as
the fused projection makes them, so that a step writes both with one copy and fetches both with one:

    layer i: [blocks, block_size, 2 (K, V), kv_heads, head_dim]
"""

from math import prod
from mmap import mmap

import torch
from torch import Tensor

from headway.spec import ModelSpec


class KVCache:
    """Room for blocks * block_size tokens; zero until written, so that a masked slot is never a NaN."""

    def __init__(self, spec: ModelSpec, blocks: int, block_size: int, dtype: torch.dtype) -> None:
        shape = (blocks, block_size, 2, spec.kv_heads, spec.head_dim)
        self.blocks = blocks
        self.block_size = block_size
        self.dtype = dtype
        self.slot_bytes = 2 * spec.kv_heads * spec.head_dim * dtype.itemsize  # of one layer
        self.layers: list[Tensor] = [_zeros(shape, dtype) for _ in range(spec.layers)]


def _zeros(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Zeroed by the system page by page as slots are first used; torch.zeros writes 4 GiB now, in 11 s."""
    return torch.frombuffer(mmap(-1, prod(shape) * dtype.itemsize), dtype=dtype).view(shape)
