"""A batch in the making, then in flight. Owns the walk down a policy's ranking: who is granted how much."""

from headway.core.forecast import Forecast, Load
from headway.core.policies.preference import Ranking
from headway.core.residency import Residency
from headway.core.sequence import Sequence
from headway.core.types import Batch, Grown, Joined, Slice


class Step:
    def __init__(self, id: int, budget: int, forecast: Forecast) -> None:
        self.id = id  # the batch's
        self.budget = budget  # tokens it may have
        self.slices: list[Slice] = []
        self.sequences: list[Sequence] = []  # beside the slices
        self._forecast = forecast
        self._joined: list[Joined] = []
        self._grown: list[Grown] = []

    def grant(self, ranking: Ranking, residency: Residency, *, exclusive: bool) -> bool:
        """Walk the ranking until the budget is spent. What is granted is in flight from here on."""
        left, add_slice, add_sequence = self.budget, self.slices.append, self.sequences.append
        decodes, context, prompts, block_size = 0, 0, Load(), residency.limits.block_size
        for sequence, cap in ranking:
            if left <= 0:
                break
            if not sequence.blocks:
                if cap <= 0 or (joined := residency.join(sequence)) is None:
                    continue
                self._joined.append(joined)
            start, known = sequence.granted, sequence.known
            count = min(known - start, cap, left)
            if count <= 0 or sequence.leaving or (exclusive and start > sequence.computed):
                continue
            end = start + count
            if end > len(sequence.blocks) * block_size:
                if (grown := residency.grow(sequence, end)) is None:
                    continue
                self._grown.append(grown)
            sequence.granted = end
            if end == known and end < sequence.last:
                sequence.known = end + 1  # the token being sampled: promised
            if count > 1 or start < sequence.prompt_tokens:
                prompts = prompts.and_slice(start, count)
            else:
                decodes += 1
                context += end
            left -= count
            add_slice(Slice(sequence.id, start, count, end == known))
            add_sequence(sequence)
        self.prompt_tokens = prompts.tokens  # of slices that are prompt work, computed again or not
        self._bare = Load(decodes, decodes, context, 0)  # without prompt work
        self.load = self._bare.and_load(prompts)
        self.forecast_s = self._forecast.seconds(self.load)
        return decodes + prompts.tokens > 0

    def as_batch(self, gone: list[int]) -> Batch:
        return Batch(self.id, tuple(gone), tuple(self._joined), tuple(self._grown), tuple(self.slices))

    def own_share(self, slice: Slice | None) -> float:
        """The share of the step's time that it takes without prompt work, or with this slice's only."""
        if not self.prompt_tokens or (slice is not None and slice.count == self.prompt_tokens):
            return 1.0
        alone = self._bare if slice is None else self._bare.and_slice(slice.start, slice.count)
        return self._forecast.seconds(alone) / self._forecast.seconds(self.load)
