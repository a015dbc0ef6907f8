"""What must hold of a block pool at any time, looked up in its innards."""

from collections.abc import Iterable

from headway.core.blocks import BlockPool


def check_pool(pool: BlockPool, held: Iterable[int]) -> None:
    """`held`, every table's blocks with repeats, is exactly what is out."""
    counts = [0] * pool.blocks
    for block in held:
        counts[block] += 1
    assert counts == pool._references, "reference counts differ from the tables"
    out = pool.blocks - counts.count(0)
    assert out + pool.available == pool.blocks, "free + held + cached is not all"
    free, cached, named = set(pool._free), pool._cached.keys(), pool._digests
    assert len(free | cached) == pool.available, "a block is in two places"
    assert not any(map(counts.__getitem__, (*free, *cached))), "a held block is free"
    assert dict(zip(pool._index.values(), pool._index, strict=True)) == named, "index and names differ"
    assert cached <= named.keys(), "a cached block has no name"
    assert named.keys().isdisjoint(free), "a free block has a name"
