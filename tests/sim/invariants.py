"""What must hold of a scheduler after every turn, whatever happened in it."""

from headway.core.scheduler import Scheduler
from tests.sim.pool_check import check_pool


def check_scheduler(scheduler: Scheduler, asleep_until: float | None) -> None:
    residency, limits = scheduler.residency, scheduler.limits
    running, waiting = residency.running, residency.waiting
    landing = {s.id: s for step in scheduler.in_flight for s in step.sequences if s.ended}
    assert not landing.keys() & {s.id for s in running}
    check_pool(residency.pool, (block for s in (*running, *landing.values()) for block in s.blocks))
    for ordered in (running, waiting):
        ranks = [s.seniority for s in ordered]
        assert ranks == sorted(set(ranks)), "a list is in order of seniority, each sequence once"
    assert len(running) <= limits.max_seqs
    for s in waiting:
        assert not s.blocks
        assert not s.ended
        assert s.computed == s.granted == 0
    for s in running:
        assert s.blocks
        assert not s.ended
        assert 0 <= s.computed <= s.granted <= s.known <= s.last
        assert s.granted <= len(s.blocks) * limits.block_size
        promised = 0 if s.known == s.last else s.known - len(s.tokens)
        assert promised <= len(scheduler.in_flight) if s.in_flight else promised == 0
    flying = [s.id for step in scheduler.in_flight for s in step.sequences]
    assert not scheduler._exclusive or len(set(flying)) == len(flying), "in a pipeline, one batch at a time"
    holding = [*running, *landing.values()]
    assert residency.slots_unused == sum(len(s.blocks) * limits.block_size - s.computed for s in holding)
    live = {s.id for choices in scheduler._live.values() for s in choices}
    held_back = {s.id for choices in scheduler._live.values() for s in choices if s.held_back}
    assert live == {s.id for s in (*running, *waiting)} | held_back
    assert scheduler.queued == len(waiting) + len(held_back)
    if live and not scheduler.in_flight:
        assert asleep_until is not None, "work waits, nothing is in flight and nobody will wake the engine"
