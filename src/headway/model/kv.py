"""The paged KV cache: one tensor a layer, allocated once.

Owns the layout and knows nothing of who holds which block. All K of a layer, then all its V, so that each
is a table with a row for every slot's head, which attention reads row by row where it lies:

    layer i: [2 (K, V), blocks, block_size, kv_heads, head_dim]
"""

from math import prod
from mmap import mmap

import torch
from torch import Tensor

from headway.spec import ModelSpec


class KVCache:
    """Room for blocks * block_size tokens."""

    def __init__(self, spec: ModelSpec, blocks: int, block_size: int, dtype: torch.dtype) -> None:
        shape = (2, blocks, block_size, spec.kv_heads, spec.head_dim)
        self.blocks = blocks
        self.block_size = block_size
        self.dtype = dtype
        self.kv_heads = spec.kv_heads
        self.layers: list[Tensor] = [_zeros(shape, dtype) for _ in range(spec.layers)]

    def take_memory(self) -> None:
        """Write every slot, so that each is memory of its own. What is read before it was written is all one
        page of zeros, quicker than any memory: who measures steps over slots that nobody filled starts here.
        """
        for layer in self.layers:
            layer.fill_(0.0)


def _zeros(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Zeroed by the system page by page as slots are first used; torch.zeros writes 4 GiB now, in 11 s."""
    return torch.frombuffer(mmap(-1, prod(shape) * dtype.itemsize), dtype=dtype).view(shape)
