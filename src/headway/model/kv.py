"""The paged KV cache: one tensor a layer, allocated once.

Owns the layout and knows nothing of who holds which block. A slot's K and V of all heads lie side by side, as
the fused projection makes them, so that a step writes both with one copy and fetches both with one:

    layer i: [blocks, block_size, 2 (K, V), kv_heads, head_dim]
"""

import torch
from torch import Tensor

from headway.spec import ModelSpec


class KVCache:
    """Room for blocks * block_size tokens; contents are undefined until written."""

    def __init__(self, spec: ModelSpec, blocks: int, block_size: int, dtype: torch.dtype) -> None:
        shape = (blocks, block_size, 2, spec.kv_heads, spec.head_dim)
        self.blocks = blocks
        self.block_size = block_size
        self.layers: list[Tensor] = [torch.zeros(shape, dtype=dtype) for _ in range(spec.layers)]
