"""Batches as the engine would send them, for an executor that is measured by hand.

Owns the sequences that it holds: which blocks are theirs, what they have computed. Each call of `visit` gives
the seconds of one or more steps of the same kind of work; what joining costs is not in those of decodes, who
joined long ago, and is in those of prompts that begin. Tokens are random; so is where blocks lie.
"""

from array import array
from collections.abc import Callable, Sequence
from itertools import count
from random import Random

from headway.core.types import Batch, Grown, Joined, Result, Sampling, Slice
from headway.profile.file import Group

RunStep = Callable[[Batch], Result]
"""Runs a batch and waits for its result."""

first_id = 1 << 30  # an engine that uses the executor afterwards counts from 0
decode_steps = 3  # of a visit, after one that is not counted; the middle one is the one that was asked for
before_the_middle = 1 + decode_steps // 2
usual_sampling = Sampling(max_tokens=1 << 20, temperature=1.0, seed=0, ignore_eos=True)


class Driver:
    def __init__(self, run: RunStep, blocks: int, block_size: int, vocab: int, seed: int = 0) -> None:
        self._run, self._block_size = run, block_size
        self._random = Random(seed)
        self._blocks = list(range(blocks))
        self._random.shuffle(self._blocks)
        self._tokens = array("i", self._random.choices(range(vocab), k=1 << 14))
        self._batch_ids, self._ids = count(1), count(first_id)
        self._held: list[int] = []
        self._places: dict[int, list[int]] = {}

    def visit(self, groups: Sequence[Group]) -> list[float]:
        """Seconds of its steps."""
        self.clear()
        if all(group.count == 1 for group in groups):
            groups = [Group(g.sequences, max(0, g.start - before_the_middle), 1, g.samples) for g in groups]
        each = [group for group in groups for _ in range(group.sequences)]
        joined = [self._join(group) for group in each]
        slices = [
            Slice(one.id, group.start, group.count, group.samples)
            for one, group in zip(joined, each, strict=True)
        ]
        begins = [slice.start == 0 and slice.count > 1 for slice in slices]
        earlier = [one for one, begun in zip(joined, begins, strict=True) if not begun]
        if earlier:
            self._submit(joined=earlier)
        if any(slice.count > 1 for slice in slices):
            now = [one for one, begun in zip(joined, begins, strict=True) if begun]
            return [self._submit(joined=now, slices=slices)]
        took_s = []
        for _ in range(1 + decode_steps):
            took_s.append(self._submit(grown=self._grow(slices), slices=slices))
            slices = [slice._replace(start=slice.start + 1) for slice in slices]
        return took_s[1:]

    def clear(self) -> None:
        """Nothing is held afterwards."""
        if self._places:
            self._submit(gone=tuple(self._places))
        self._blocks += [block for places in self._places.values() for block in places]
        self._places.clear()

    def _join(self, group: Group) -> Joined:
        id, known = next(self._ids), group.start + group.count + (not group.samples)
        tokens = array("i", (self._tokens * (1 + known // len(self._tokens)))[:known])
        self._places[id] = [self._blocks.pop() for _ in range(-(-known // self._block_size))]
        return Joined(id, tokens, known, 0, usual_sampling, (tuple(self._places[id]),))

    def _grow(self, slices: Sequence[Slice]) -> list[Grown]:
        grown = []
        for slice in slices:
            places = self._places[slice.id]
            if slice.start + slice.count > len(places) * self._block_size:
                places.append(self._blocks.pop())
                grown.append(Grown(slice.id, ((places[-1],),)))
        return grown

    def _submit(
        self,
        *,
        gone: Sequence[int] = (),
        joined: Sequence[Joined] = (),
        grown: Sequence[Grown] = (),
        slices: Sequence[Slice] = (),
    ) -> float:
        batch = Batch(next(self._batch_ids), tuple(gone), tuple(joined), tuple(grown), tuple(slices))
        result = self._run(batch)
        failed = next((each.failure for each in result.outcomes if each.failure is not None), None)
        assert failed is None, f"a sequence failed while it was measured: {failed}"
        return result.end_s - result.start_s
