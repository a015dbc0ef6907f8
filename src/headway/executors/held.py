"""What an executor holds of one sequence between steps: its tokens, its blocks, how it is sampled."""

import numpy as np
import torch
from numpy.typing import NDArray

from headway.core.types import Grown, Joined
from headway.model.sampler import SequenceSampler


class Held:
    """Begun from Joined alone: one that comes back after a pre-emption goes on as if it had never left."""

    __slots__ = ("_buffer", "_known", "failure", "id", "prompt_tokens", "sampler", "table", "table_tensor")

    def __init__(self, joined: Joined) -> None:
        (table,) = joined.tables  # one KV group, so far
        self.id = joined.id
        self.prompt_tokens = joined.prompt_tokens
        self.table: NDArray[np.int64] = np.array(table, dtype=np.int64)
        self.table_tensor = torch.from_numpy(self.table)
        self.failure: str | None = None  # once it has failed it fails again, until it is gone
        self._buffer: NDArray[np.int32] = np.array(joined.tokens, dtype=np.int32)
        self._known = len(self._buffer)
        self.sampler = SequenceSampler(joined.sampling, joined.choice, self._buffer, joined.prompt_tokens)

    @property
    def tokens(self) -> NDArray[np.int32]:
        """All that are known, the prompt first; a view, good until the next `append`."""
        return self._buffer[: self._known]

    def grow(self, grown: Grown) -> None:
        (blocks,) = grown.tables
        self.table = np.concatenate((self.table, np.array(blocks, dtype=np.int64)))
        self.table_tensor = torch.from_numpy(self.table)

    def append(self, token: int) -> None:
        """Its next token was sampled: a later slice computes it."""
        if self._known == len(self._buffer):
            self._buffer = np.concatenate((self._buffer, np.zeros(max(64, self._known), dtype=np.int32)))
        self._buffer[self._known] = token
        self._known += 1
        self.sampler.append(token)
