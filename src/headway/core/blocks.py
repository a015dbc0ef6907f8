"""Who holds which KV block, and the prefix index. A block is in exactly one of three places:

    free      in no table, its content worthless
    held      in `references` tables (more than one: a shared prefix)
    cached    in no table, but indexed: a later prompt may share it until its room is needed

`take` empties free before it forgets cached, the least recently given first.
"""

from collections import OrderedDict
from collections.abc import Iterable
from hashlib import sha256
from itertools import takewhile


def root_digest(salt: bytes) -> bytes:
    """What a chain begins with. Hashed twice, so that no salt, however chosen, is the name of a block."""
    return sha256(sha256(salt).digest()).digest()


def chain_digest(parent: bytes, content: bytes) -> bytes:
    """The name of a full block: 32 bytes that stand for its tokens and all that came before them."""
    return sha256(parent + content).digest()


class BlockPool:
    """`blocks` ids, 0 to blocks - 1. Every id that was taken or shared is given back exactly once."""

    def __init__(self, blocks: int) -> None:
        self.blocks = blocks
        self._free = list(range(blocks - 1, -1, -1))  # taken from the end, so low ids go first
        self._cached = OrderedDict[int, None]()  # in the order they were given back
        self._references = [0] * blocks
        self._index: dict[bytes, int] = {}
        self._digests: dict[int, bytes] = {}

    @property
    def available(self) -> int:
        """How many blocks `take` could give now."""
        return len(self._free) + len(self._cached)

    @property
    def places(self) -> tuple[int, int, int]:
        """How many blocks are free, cached and held."""
        return len(self._free), len(self._cached), self.blocks - self.available

    def take(self, count: int) -> list[int] | None:
        """`count` blocks with one reference each, or None and nothing changed."""
        if count > self.available:
            return None
        while len(self._free) < count:
            block, _ = self._cached.popitem(last=False)  # a dict would search for its first each time
            del self._index[self._digests.pop(block)]
            self._free.append(block)
        taken = [self._free.pop() for _ in range(count)]
        for block in taken:
            self._references[block] = 1
        return taken

    def find(self, digests: Iterable[bytes]) -> list[int]:
        """The blocks of the longest indexed run of `digests` from its start."""
        return [self._index[digest] for digest in takewhile(self._index.__contains__, digests)]

    def share(self, digests: Iterable[bytes]) -> list[int]:
        """The same, with one more reference on each."""
        shared = self.find(digests)
        for block in shared:
            if self._references[block] == 0:
                del self._cached[block]
            self._references[block] += 1
        return shared

    def index(self, block: int, digest: bytes) -> None:
        """Let later prompts find a held block whose content is computed. The first under a name stays."""
        assert self._references[block] > 0, f"block {block} is indexed but not held"
        if digest not in self._index and block not in self._digests:
            self._index[digest] = block
            self._digests[block] = digest

    def give(self, blocks: list[int]) -> None:
        """One reference back from each. A chain's end is forgotten first: its start serves more prompts."""
        for block in reversed(blocks):
            left = self._references[block] - 1
            assert left >= 0, f"block {block} was given back twice"
            self._references[block] = left
            if left == 0 and block in self._digests:
                self._cached[block] = None
            elif left == 0:
                self._free.append(block)
