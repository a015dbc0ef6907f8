"""Which sequences hold KV blocks: they join, grow, give way and leave here.

Owns the pool and two lists, each in order of seniority: a lower level first, then arrival. Knows no time.

    waiting -> running    join: blocks for what it has, prefix hits first
    running -> waiting    preempt: it was junior to one that needed the blocks, or its level to one's place
    running -> out        release: ended, and nothing of it in flight
"""

from bisect import bisect_left, insort
from operator import attrgetter

from headway.core.blocks import BlockPool
from headway.core.limits import Limits
from headway.core.memory import MemoryRule
from headway.core.policies.preference import Ranking
from headway.core.sequence import Sequence
from headway.core.types import Grown, Joined

_by_seniority = attrgetter("seniority")


class Residency:
    def __init__(self, limits: Limits, memory: MemoryRule) -> None:
        self.limits = limits
        self.pool = BlockPool(limits.blocks)
        self.running: list[Sequence] = []
        self.waiting: list[Sequence] = []
        self.gone: list[int] = []  # left since the last batch: the executor has yet to be told
        self.memory = memory
        self.slots_unused = 0  # in the blocks of all, counted once for each that holds them
        self.owed: Sequence | None = None  # others leave for it, as soon as what is in flight has landed
        self._denied: Sequence | None = None  # the most senior that this plan has left without, so far
        self._rankings: tuple[Ranking, ...] = ()  # of this plan
        self._preemptions = self._recomputed = self._queried = self._found = 0

    def take_counts(self) -> tuple[int, int, int, int]:
        """Since the last call: pre-emptions, tokens lost by them; prompt tokens looked up, and found."""
        counts = (self._preemptions, self._recomputed, self._queried, self._found)
        self._preemptions = self._recomputed = self._queried = self._found = 0
        return counts

    def begin_plan(self, rankings: tuple[Ranking, ...]) -> None:
        """Take note of the rankings: whoever gives way in this plan is read from their end."""
        self._rankings = rankings
        ranked = any(s is self.owed for ranking in rankings for s, _ in ranking)
        self.owed, self._denied = None, self.owed if ranked else None  # it may have ended since

    def reorder(self) -> None:  # levels have changed
        self.running.sort(key=_by_seniority)
        self.waiting.sort(key=_by_seniority)

    def look_up(self, sequence: Sequence) -> list[bytes]:
        """The names of its blocks that may be in the prefix index; it notes how much of it is."""
        if not self.limits.prefix_cache or sequence.sampling.prompt_logprobs is not None:
            return []
        # One token is left to compute even on a full hit: its logits are wanted.
        names = sequence.name_blocks(sequence.known - 1, self.limits.block_size)
        sequence.hits = len(self.pool.find(names)) * self.limits.block_size
        return names

    def enqueue(self, sequence: Sequence) -> None:
        self.look_up(sequence)
        insort(self.waiting, sequence, key=_by_seniority)

    def join(self, sequence: Sequence) -> Joined | None:
        """Enter with blocks for all its known tokens (or what the memory rule asks), or None: not now."""
        limits, size = self.limits, self.limits.block_size
        if self._must_wait(sequence) or not self._has_place(sequence):
            return None
        shared = self.pool.share(self.look_up(sequence))
        slots = self.memory(sequence.known, sequence.last + 1, limits.max_model_len)
        if (fresh := self._take(-(-slots // size) - len(shared), sequence)) is None:  # rounded up
            self.pool.give(shared)
            return None
        cached = len(shared) * size
        joined = sequence.join(shared + fresh, cached)
        self.slots_unused += len(sequence.blocks) * size - cached
        # The prefix index is asked for prompts when they are new; later it saves some of what was lost.
        if not sequence.begun:
            self._queried += sequence.known
            self._found += cached
        self._recomputed += max(0, sequence.lost - cached)
        sequence.lost = 0
        _remove(self.waiting, sequence)
        insort(self.running, sequence, key=_by_seniority)
        return joined

    def grow(self, sequence: Sequence, end: int) -> Grown | None:
        """Blocks for the tokens up to `end`, or None and it keeps what it has."""
        size = self.limits.block_size
        if (blocks := self._take(-(-end // size) - len(sequence.blocks), sequence)) is None:
            return None
        sequence.blocks += blocks
        self.slots_unused += len(blocks) * size
        return Grown(sequence.id, (tuple(blocks),))

    def _take(self, count: int, sequence: Sequence) -> list[int] | None:
        """Blocks for a sequence, or None.

        Liveness. Who grows takes what it needs from its juniors; so the most senior that holds blocks goes on
        to its end, then the next. Who joins takes from lower levels only and waits for the others: nobody
        junior that comes after it in the ranking joins before it; alone it fits (admission saw to that).
        """
        if count > self.pool.available:
            self._make_room(count, sequence)
        blocks = self.pool.take(count)
        if blocks is None and not self._must_wait(sequence):
            self._denied = sequence
        elif blocks is not None and sequence is self._denied:
            self._denied = None
        return blocks

    def _must_wait(self, sequence: Sequence) -> bool:
        """Somebody senior went without earlier in this plan, or others leave for it since the last one."""
        return self._denied is not None and sequence.seniority > self._denied.seniority

    def _has_place(self, sequence: Sequence) -> bool:
        """Whether one more may run. Of strictly lower levels the ranking's last makes place, if need be."""
        if len(self.running) < self.limits.max_seqs:
            return True
        first = next((s for ranking in self._rankings for s, _ in ranking), None)  # whatever its level
        lower = [s for s in self._giving_way(sequence) if s.level > sequence.level and s is not first]
        if lower and not any(s.leaving for s in lower):
            self._oust(lower[0])
        if lower and any(s.leaving for s in lower):
            self.owed = self._denied = sequence  # the place is for it alone
        return len(self.running) < self.limits.max_seqs

    def _make_room(self, count: int, sequence: Sequence) -> None:
        """Oust the junior, from the ranking's end, until `count` blocks are free or on their way."""
        junior = self._giving_way(sequence)
        if not sequence.blocks:
            junior = [s for s in junior if s.level > sequence.level]
        coming = sum(len(s.blocks) for s in junior if s.leaving)
        if self.pool.available + sum(len(s.blocks) for s in junior) < count:
            return
        self.owed = sequence
        for victim in junior:
            if self.pool.available + coming >= count:
                break
            if not victim.leaving:
                self._oust(victim)
                coming += len(victim.blocks)  # none if it could go at once

    def _giving_way(self, sequence: Sequence) -> list[Sequence]:
        """Those junior to it that hold blocks, the ranking's last first."""
        ranked = [s for ranking in self._rankings for s, _ in ranking]
        return [s for s in reversed(ranked) if s.blocks and s.seniority > sequence.seniority]

    def _oust(self, victim: Sequence) -> None:
        """Pre-empt it; with work in flight it is marked, and gives its blocks up when that has landed."""
        victim.leaving = victim.in_flight
        if not victim.leaving:
            self.preempt(victim)

    def preempt(self, sequence: Sequence) -> None:
        self._preemptions += 1
        sequence.lost = sequence.computed
        sequence.owed = max(sequence.owed, sequence.computed)
        self.release(sequence)
        _remove(self.running, sequence)
        self.enqueue(sequence)

    def release(self, sequence: Sequence) -> None:
        self.slots_unused -= len(sequence.blocks) * self.limits.block_size - sequence.computed
        self.pool.give(sequence.leave())
        self.gone.append(sequence.id)

    def index(self, sequence: Sequence, start: int) -> None:
        """Its blocks that have become full since `start` tokens were computed."""
        digests = sequence.name_blocks(sequence.computed, self.limits.block_size)
        for i in range(start // self.limits.block_size, len(digests)):
            self.pool.index(sequence.blocks[i], digests[i])

    def withdraw(self, sequence: Sequence) -> None:
        """It ended: out of its list. Its blocks follow when the last of it in flight has landed."""
        _remove(self.running if sequence.blocks else self.waiting, sequence)
        if sequence.blocks and not sequence.in_flight:
            self.release(sequence)


def _remove(ordered: list[Sequence], sequence: Sequence) -> None:
    i = bisect_left(ordered, sequence.seniority, key=_by_seniority)
    assert ordered[i] is sequence
    del ordered[i]
