"""Which batches a calibration runs: a grid that is fitted, and beside it, drawn at random within the grid's
bounds, those that the fit is judged by.

Owns the choice. A batch is a few groups of like slices; who runs it gives it sequences.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from headway.profile.file import Group

batch_sizes = (1, 2, 4, 8, 16, 32, 64)
contexts = (64, 256, 1024, 4096)
chunks = (4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)
later_chunks = ((4, 512), (16, 2048), (64, 512), (64, 2048), (256, 512), (256, 2048))  # start
several_prompts = ((4, 16, True), (8, 32, True), (24, 4, False))
mixes = (  # decodes, their context, a chunk, its start
    (1, 64, 16, 0), (1, 1024, 64, 512), (4, 256, 64, 0), (4, 1024, 224, 0), (4, 64, 16, 1024),
    (8, 256, 120, 0), (16, 64, 240, 0), (16, 512, 48, 512), (16, 1024, 16, 0), (32, 256, 32, 0),
    (32, 64, 224, 1024), (48, 256, 80, 0), (48, 128, 208, 256),
)  # fmt: skip
held_out_share = 0.25
grown_tokens = 8  # what a decode may grow by while it is measured


@dataclass(frozen=True, slots=True)
class Room:
    """What an executor has place for."""

    tokens: int  # of KV
    longest: int  # tokens of one sequence
    most_tokens: int = chunks[-1]  # of a step


class Wanted(NamedTuple):
    """A batch to be measured."""

    kind: str  # decode, prefill or mixed
    groups: tuple[Group, ...]
    held_out: bool = False

    @property
    def tokens(self) -> int:
        return sum(group.sequences * group.count for group in self.groups)


def grid(room: Room, seed: int = 0) -> list[Wanted]:
    """Those that there is room for."""
    fitted = [wanted for wanted in (*_decodes(), *_prefills(), *_mixes()) if fits(wanted, room)]
    random, held_out = Random(seed), list[Wanted]()
    for kind, draw in (("decode", _some_decodes), ("prefill", _some_prompts), ("mixed", _some_mix)):
        count = round(held_out_share / (1 - held_out_share) * sum(w.kind == kind for w in fitted))
        draws = (Wanted(kind, draw(random, room), held_out=True) for _ in range(100 * count))
        held_out += [wanted for wanted in draws if fits(wanted, room)][:count]
    return fitted + held_out


def fits(wanted: Wanted, room: Room) -> bool:
    ends = [(group.sequences, group.start + group.count + grown_tokens) for group in wanted.groups]
    held = sum(sequences * (end + 64) for sequences, end in ends)  # whole blocks
    longest = max(end for _, end in ends)
    return held <= room.tokens and longest <= room.longest and wanted.tokens <= room.most_tokens


def _decodes() -> Iterator[Wanted]:
    for size in batch_sizes:
        yield from (Wanted("decode", (decode(size, context),)) for context in contexts)
    for few, many in ((1, 15), (4, 28)):  # contexts are seldom alike
        yield Wanted("decode", (decode(few, 2048), decode(many, 128)))


def _prefills() -> Iterator[Wanted]:
    for i, count in enumerate(chunks):
        yield Wanted("prefill", (Group(1, 0, count, i % 2 == 0),))
    for i, (count, start) in enumerate(later_chunks):
        yield Wanted("prefill", (Group(1, start, count, i % 2 == 0),))
    for prompts, count, samples in several_prompts:
        yield Wanted("prefill", (Group(prompts, 0, count, samples),))


def _mixes() -> Iterator[Wanted]:
    for i, (decodes, context, count, start) in enumerate(mixes):
        yield Wanted("mixed", (decode(decodes, context), Group(1, start, count, i % 2 == 0)))


def decode(sequences: int, context: int) -> Group:
    """Each computes its last token, and samples."""
    return Group(sequences, context - 1, 1, True)


def _some_decodes(random: Random, room: Room) -> tuple[Group, ...]:
    size = _between(random, 1, 64)
    return (decode(size, _between(random, 64, min(4096, room.tokens // size))),)


def _some_prompts(random: Random, room: Room) -> tuple[Group, ...]:
    start = random.choice((0, 0, _between(random, 64, 2048)))
    return (Group(1, start, _between(random, 6, 800), random.random() < 0.5),)


def _some_mix(random: Random, room: Room) -> tuple[Group, ...]:
    decodes = decode(_between(random, 1, 48), _between(random, 64, 1024))
    start = random.choice((0, _between(random, 64, 1024)))
    return (decodes, Group(1, start, _between(random, 16, 400), random.random() < 0.5))


def _between(random: Random, low: int, high: int) -> int:
    """Even in logarithms, but for rounding."""
    return low if high <= low else round(low * (high / low) ** random.random())
