"""A simulated executor that keeps a model of the KV cache and checks every read of it.

Each slot remembers the digest of all tokens up to the one written there. A slice may only read slots that
hold what this very sequence would have written: a block freed too early, shared wrongly or never computed
is caught at the first step that would have read it.
"""

from array import array

from headway.core.types import Batch, Slice
from headway.sim.executor import SimExecutor


class CheckedExecutor(SimExecutor):
    def __init__(self, *args, block_size: int, blocks: int, **options) -> None:
        super().__init__(*args, **options)
        self.size = block_size
        self.slots: list[list[int | None]] = [[None] * block_size for _ in range(blocks)]
        self.tables: dict[int, list[int]] = {}
        self.salts: dict[int, bytes] = {}
        self.chains: dict[int, array] = {}

    def submit(self, batch: Batch) -> None:
        for id in batch.gone:
            del self.tables[id], self.chains[id]
        for joined in batch.joined:
            self.tables[joined.id] = list(joined.tables[0])
            self.chains[joined.id] = array("q")
        for grown in batch.grown:
            self.tables[grown.id] += grown.tables[0]
        assert len({slice.id for slice in batch.slices}) == len(batch.slices), "one slice a sequence"
        super().submit(batch)
        for slice in batch.slices:
            if slice.id not in self._failed:
                self._compute(slice)

    def _compute(self, slice: Slice) -> None:
        table, end = self.tables[slice.id], slice.start + slice.count
        assert end <= len(table) * self.size, "a token has no slot"
        chain = self._chain(slice.id, end)
        for p in range(slice.start, end):
            self.slots[table[p // self.size]][p % self.size] = chain[p]
        for i in range(0, end, self.size):
            held = self.slots[table[i // self.size]][: min(self.size, end - i)]
            assert held == list(chain[i : min(i + self.size, end)]), (
                f"sequence {slice.id} reads what is not its"
            )

    def _chain(self, id: int, end: int) -> array:
        chain, known = self.chains[id], self._known[id]
        for p in range(len(chain), end):
            chain.append(hash((chain[-1] if p else 0, known[p])))
        return chain
