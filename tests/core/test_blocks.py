"""The block pool against a naive model: whatever is done to it, both agree on who holds what."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from headway.core.blocks import BlockPool, chain_digest
from tests.sim.pool_check import check_pool

BLOCKS = 6


class PoolAgainstNaiveModel(RuleBasedStateMachine):
    """The model: a list of tables, and for each indexed block its name, in the order it was last given
    back."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = BlockPool(BLOCKS)
        self.tables: list[list[int]] = []
        self.names: dict[int, bytes] = {}
        self.idle: list[int] = []  # indexed and in no table, least recently given first

    def held(self) -> set[int]:
        return {block for table in self.tables for block in table}

    @rule(count=st.integers(0, BLOCKS + 1))
    def take(self, count):
        available = BLOCKS - len(self.held())
        taken = self.pool.take(count)
        if count > available:
            assert taken is None
            return
        assert taken is not None
        assert len(set(taken)) == count
        assert not set(taken) & self.held()
        forgotten = count - (available - len(self.idle))
        for block in self.idle[: max(0, forgotten)]:
            del self.names[block]
        del self.idle[: max(0, forgotten)]
        assert not set(taken) & self.names.keys(), "a block that is taken anew has no name"
        self.tables.append(taken)

    @rule(names=st.lists(st.sampled_from([b"a", b"b", b"c", b"d"]), max_size=4))
    def share(self, names):
        shared = self.pool.share(names)
        by_name = {name: block for block, name in self.names.items()}
        expected = []
        for name in names:
            if name not in by_name:
                break
            expected.append(by_name[name])
        assert shared == expected
        self.idle = [block for block in self.idle if block not in shared]
        self.tables.append(shared)

    @precondition(lambda self: any(self.tables))
    @rule(data=st.data(), name=st.sampled_from([b"a", b"b", b"c", b"d"]))
    def index(self, data, name):
        block = data.draw(st.sampled_from(sorted(self.held())))
        self.pool.index(block, name)
        if name not in self.names.values() and block not in self.names:
            self.names[block] = name

    @precondition(lambda self: self.tables)
    @rule(data=st.data())
    def give(self, data):
        table = self.tables.pop(data.draw(st.integers(0, len(self.tables) - 1)))
        self.pool.give(table)
        for block in reversed(dict.fromkeys(table)):  # its last reference is the one nearest the start
            if block in self.names and block not in self.held():
                self.idle.append(block)

    @invariant()
    def agrees(self):
        check_pool(self.pool, (block for table in self.tables for block in table))
        assert self.pool.available == BLOCKS - len(self.held())
        assert self.pool.places[1] == len(self.idle)


TestPool = PoolAgainstNaiveModel.TestCase


def test_taking_more_than_there_is_changes_nothing():
    pool = BlockPool(2)
    assert pool.take(3) is None
    assert pool.take(2) == [0, 1]


def test_the_end_of_a_chain_is_forgotten_before_its_start():
    pool = BlockPool(3)
    chain = pool.take(3)
    for block, name in zip(chain, (b"1", b"2", b"3"), strict=True):
        pool.index(block, name)
    pool.give(chain)
    pool.take(1)
    assert pool.share([b"1", b"2", b"3"]) == chain[:2]


def test_giving_a_block_back_twice_is_our_fault_and_said_so():
    pool = BlockPool(1)
    taken = pool.take(1)
    pool.give(taken)
    with pytest.raises(AssertionError, match="given back twice"):
        pool.give(taken)


def test_a_digest_depends_on_all_that_came_before():
    assert chain_digest(b"x", b"tokens") != chain_digest(b"y", b"tokens")
    assert len(chain_digest(b"", b"")) == 32
