"""A simulated executor that keeps a model of the KV cache and checks every read of it.

Each slot remembers the digest of all tokens up to the one written there, begun with the salt of whoever wrote
it. A slice may only read slots that hold what this very sequence would have written: a block freed too early,
shared wrongly or across salts, or never computed is caught at the first step that would have read it.

Prompts are scored where that is asked for: a token's log-probability is minus its index.
"""

from collections.abc import Mapping
from itertools import chain as chained
from itertools import islice

from headway.core.types import Batch, Logprob, Outcome, Slice
from headway.sim.executor import SimExecutor


def scripted_score(token: int, index: int) -> Logprob:
    return Logprob(token, -float(index), ())


class CheckedExecutor(SimExecutor):
    """`salts`: by sequence id, filled in as requests are accepted."""

    def __init__(self, *args, block_size: int, blocks: int, salts: Mapping[int, bytes], **options) -> None:
        super().__init__(*args, **options)
        self.size = block_size
        self.salts = salts
        self.slots: list[list[int | None]] = [[None] * block_size for _ in range(blocks)]
        self.tables: dict[int, list[int]] = {}
        self.chains: dict[int, list[int]] = {}
        self.scored: dict[int, int] = {}  # prompt tokens of those whose prompts are scored
        self.faulted: set[int] = set()  # every sequence that ever failed

    def submit(self, batch: Batch) -> None:
        for id in batch.gone:
            del self.tables[id], self.chains[id]
            self.scored.pop(id, None)
        for joined in batch.joined:
            self.tables[joined.id] = list(joined.tables[0])
            self.chains[joined.id] = []
            if joined.sampling.prompt_logprobs is not None:
                self.scored[joined.id] = joined.prompt_tokens
        for grown in batch.grown:
            self.tables[grown.id] += grown.tables[0]
        assert len({slice.id for slice in batch.slices}) == len(batch.slices), "one slice a sequence"
        super().submit(batch)
        if self._cause is None:
            for slice in batch.slices:
                if slice.id not in self._failed:
                    self._compute(slice)

    def _run(self, slice: Slice) -> Outcome:
        outcome = super()._run(slice)
        if outcome.failure is not None:
            self.faulted.add(slice.id)
            return outcome
        end = min(slice.start + slice.count, self.scored.get(slice.id, 0) - 1)
        if slice.start >= end:
            return outcome
        known = self._known[slice.id]
        scores = tuple(scripted_score(known[i], i) for i in range(slice.start + 1, end + 1))
        return outcome._replace(prompt_logprobs=scores)

    def _compute(self, slice: Slice) -> None:
        table, end = self.tables[slice.id], slice.start + slice.count
        assert end <= len(table) * self.size, "a token has no slot"
        chain = self._chain(slice.id, end)
        for p in range(slice.start, end):
            self.slots[table[p // self.size]][p % self.size] = chain[p]
        held = chained.from_iterable(self.slots[block] for block in table[: -(-end // self.size)])
        assert list(islice(held, end)) == chain[:end], f"sequence {slice.id} reads what is not its"

    def _chain(self, id: int, end: int) -> list[int]:
        chain, known = self.chains[id], self._known[id]
        for p in range(len(chain), end):
            chain.append(hash((chain[-1] if p else self.salts[id], known[p])))
        return chain
