"""What must hold of a block pool at any time, looked up in its innards."""

from collections.abc import Iterable

from headway.core.blocks import BlockPool


def check_pool(pool: BlockPool, held: Iterable[int]) -> None:
    """`held`, every table's blocks with repeats, is exactly what is out."""
    counts = [0] * pool.blocks
    for block in held:
        counts[block] += 1
    assert counts == pool._references, "reference counts differ from the tables"
    out = sum(count > 0 for count in counts)
    assert out + pool.available == pool.blocks, "free + held + cached is not all"
    assert len(set(pool._free) | pool._cached.keys()) == pool.available, "a block is in two places"
    assert all(counts[block] == 0 for block in (*pool._free, *pool._cached)), "a held block is free"
    assert {block: name for name, block in pool._index.items()} == pool._digests, "index and names differ"
    assert pool._cached.keys() <= pool._digests.keys(), "a cached block has no name"
    assert not set(pool._free) & pool._digests.keys(), "a free block has a name"
