"""One drawn world run to its end, everything checked after every turn; and a count of what it exercised."""

from collections import Counter
from dataclasses import dataclass, field

from headway.core.ports import ExecutorDied
from headway.core.types import Batch, Finished, Refused, Request, Stepped
from tests.sim.invariants import check_scheduler
from tests.sim.ledger import Ledger
from tests.sim.pool_check import check_pool
from tests.sim.random_world import Drawn, draw_world


@dataclass
class Report:
    """What a run exercised, and its digest."""

    digest: str
    counts: Counter[str] = field(default_factory=Counter)


def run_seed(seed: int) -> Report:
    """Run one world to its end, or to its executor's."""
    drawn = draw_world(seed)
    engine, log, watched = drawn.world.engine, drawn.world.log, drawn.watched
    scheduler, wait = engine.scheduler, engine.inbox.wait
    ledger = Ledger(drawn.script, watched, drawn.executor)
    engine.scheduler = watched

    def watched_wait(until):
        check_scheduler(scheduler, until)
        return wait(until)

    engine.inbox.wait = watched_wait
    seen = turns = 0
    running, died = True, False
    while running:
        try:
            running = engine.turn()
        except ExecutorDied:
            running, died = False, True
        turns += 1
        assert turns < 100_000, "no end in sight"
        ledger.take(log.events[seen:])
        seen = len(log.events)
    _check_ends(drawn, ledger, died)
    if not died:
        _check_idle(scheduler)
    for batch in drawn.world.trace.batches:
        assert 1 <= sum(s.count for s in batch.slices) <= scheduler.limits.max_step_tokens
        assert all(s.count >= 1 for s in batch.slices)
    letters = len(drawn.letters)
    assert turns <= 3 * len(drawn.world.trace.batches) + 3 * letters + 10, "turns without progress"
    return Report(drawn.world.trace.digest(), _counts(drawn, turns) + watched.counts)


def _check_ends(drawn: Drawn, ledger: Ledger, died: bool) -> None:
    requests = [letter for _, letter in drawn.letters if isinstance(letter, Request)]
    if died:
        requests = [request for request in requests if request.id in drawn.watched.taken]
    assert ledger.verdicts.keys() == {r.id for r in requests}, "every request gets a verdict"
    expected = {
        (request.id, choice)
        for request in requests
        if not isinstance(ledger.verdicts[request.id], Refused)
        for choice in range(request.choices)
    }
    assert ledger.ends.keys() == expected, "every accepted choice ends"


def _check_idle(scheduler) -> None:
    assert not scheduler._live
    assert not scheduler.residency.running
    pool = scheduler.residency.pool
    check_pool(pool, ())
    assert pool.available == pool.blocks, "when idle, free + cached is all"


def _check_gaps(drawn: Drawn) -> bool:
    """With room for everyone, a policy that never interrupts decodes gives each a token in every batch.

    True if that was to be seen: the policy is such a one, and it had several sequences to serve.
    """
    limits, trace = drawn.limits, drawn.world.trace
    roomy = limits.blocks >= limits.max_seqs * -(-limits.max_model_len // limits.block_size)
    if (
        drawn.policy not in ("stall-free", "decode-first")
        or not roomy
        or limits.max_step_tokens < limits.max_seqs
    ):
        return False
    allowed = trace.depth if trace.exclusive else 1
    last: dict[int, int] = {}
    prompts = {joined.id: joined.prompt_tokens for batch in trace.batches for joined in batch.joined}
    for batch in trace.batches:
        for s in batch.slices:
            if s.start >= prompts[s.id]:
                assert batch.id - last.get(s.id, batch.id) <= allowed, f"sequence {s.id} waited"
            last[s.id] = batch.id
    return max(len(batch.slices) for batch in trace.batches) > 1


def _counts(drawn: Drawn, turns: int) -> Counter[str]:
    world, letters = drawn.world, drawn.letters
    frames = [event for event in world.log.events if isinstance(event, Stepped)]
    preemptions = sum(frame.preemptions for frame in frames)
    counts = Counter[str]()
    counts["runs"] = 1
    counts["turns"] = turns
    counts["runs under 200 turns"] = turns < 200
    counts["requests"] = sum(isinstance(letter, Request) for _, letter in letters)
    counts["runs with pre-emption"] = preemptions > 0
    counts["pre-emptions"] = preemptions
    counts["recomputed tokens"] = sum(frame.recomputed_tokens for frame in frames)
    counts["prefix hit tokens"] = sum(frame.prefix_hit_tokens for frame in frames)
    counts["salted hits"] = sum(_salted_hits(batch, drawn.executor.salts) for batch in world.trace.batches)
    counts["chunks"] = sum(s.count > 1 and not s.samples for b in world.trace.batches for s in b.slices)
    counts["runs whose decodes may not wait"] = _check_gaps(drawn)
    counts[f"policy {drawn.policy}"] = 1
    counts[f"depth {world.trace.depth}"] = 1
    counts.update(f"ended {e.reason.value}" for e in world.log.events if isinstance(e, Finished))
    counts.update(f"refused {e.reason.value}" for e in world.log.events if isinstance(e, Refused))
    return counts


def _salted_hits(batch: Batch, salts) -> int:
    """How many sequences with a salt joined with a part of their prompt computed."""
    joined = {joined.id for joined in batch.joined if salts[joined.id]}
    return sum(slice.start > 0 for slice in batch.slices if slice.id in joined)
