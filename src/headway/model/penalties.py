"""Which tokens a sequence has had, and how often its output had them: what penalties are computed from.

Sparse, as a sequence has few of the vocabulary's tokens: a new token costs one look-up, a step touches the
logits of those it has and no others. Knows no batch.
"""

import numpy as np
from numpy.typing import NDArray

from headway.core.types import Sampling
from headway.model.ranking import Row


class TokenCounts:
    """`ids` are those of prompt and output, each once; `counts` say how often each is in the output."""

    def __init__(self, prompt: NDArray[np.int32], output: NDArray[np.int32]) -> None:
        self._ids = np.unique(np.concatenate((prompt, output)))
        self._counts = np.zeros(len(self._ids), dtype=np.int32)
        np.add.at(self._counts, np.searchsorted(self._ids, output), 1)
        self._index = {id: i for i, id in enumerate(self._ids.tolist())}

    def add(self, token: int) -> None:
        """The output grew by this one."""
        i = self._index.setdefault(token, len(self._index))
        if i == len(self._ids):
            room = np.zeros(max(16, i), dtype=np.int32)
            self._ids, self._counts = np.concatenate((self._ids, room)), np.concatenate((self._counts, room))
        self._ids[i] = token
        self._counts[i] += 1

    def penalize(self, row: Row, sampling: Sampling) -> None:
        """Change a row of logits in place.

        A repeated token's logit is divided by the repetition penalty where positive, else multiplied by it
        (CTRL, arXiv 1909.05858); the output's tokens then pay the frequency penalty per occurrence and the
        presence penalty once.
        """
        known = len(self._index)
        ids, counts = self._ids[:known], self._counts[:known]
        values, repetition = row[ids], sampling.repetition_penalty
        values = np.where(values > 0, values / repetition, values * repetition)
        row[ids] = values - sampling.frequency_penalty * counts - sampling.presence_penalty * (counts > 0)
