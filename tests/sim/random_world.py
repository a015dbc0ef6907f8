"""A world from a seed: limits, policy, memory rule, depth, requests, cancels, faults: all drawn from it."""

from array import array
from collections import Counter
from dataclasses import dataclass, field
from random import Random

from headway.clock import VirtualClock
from headway.core.limits import Limits
from headway.core.memory import MEMORY_RULES
from headway.core.policies import POLICIES, DecodeFirst, Static
from headway.core.types import Cancel, Finished, Reason, Refusal, Refused, Request, Sampling
from headway.sim.executor import LinearCost
from headway.sim.run import World, make_world
from tests.sim.checked_executor import CheckedExecutor
from tests.sim.invariants import Ledger, check_scheduler

STOP = 7


def draw_limits(random: Random, memory: str) -> Limits:
    size = random.choice([1, 2, 4, 8, 16])
    context = random.choice([64, 128])
    longest = -(-context // size)
    pool = longest + random.choice([0, 0, 1, longest // 2, longest // 2, longest * 2, longest * 8])
    return Limits(
        max_seqs=random.choice([1, 3, 4, 8, 16]),
        max_step_tokens=random.choice([1, 3, 16, 32, 64, 200]),
        max_queued=random.choice([8, 200, 200]),
        block_size=size,
        blocks=pool,
        max_model_len=context,
        prefix_cache=random.random() < 0.7,
    )


def draw_request(random: Random, id: int, at_s: float, context: int) -> Request:
    prompt_tokens = random.choice([1, 2, random.randint(3, context // 2), random.randint(3, context)])
    shared = array("i", [9] * prompt_tokens)  # many prompts begin alike
    for i in range(random.randint(0, prompt_tokens), prompt_tokens):
        shared[i] = random.randint(10, 14)
    sampling = Sampling(
        max_tokens=random.randint(1, context // 2),
        stop_ids=(STOP,) if random.random() < 0.5 else (),
        min_tokens=random.choice([0, 0, 4]),
        prompt_logprobs=random.choice([None, None, None, 0]),
        seed=id,
    )
    choices = random.choice([1, 1, 1, 2, 3])
    return Request(id, shared, sampling, at_s, choices, cache_salt=random.choice([b"", b"", b"a"]))


def draw_letters(random: Random, limits: Limits) -> list[tuple[float, Request | Cancel]]:
    letters: list[tuple[float, Request | Cancel]] = []
    at_s, gap_s = 0.0, random.choice([0.0, 0.01, 0.1, 0.5])
    for id in range(random.randint(24, 34) * (3 if limits.max_seqs >= 8 else 1)):
        at_s += random.expovariate(1 / gap_s) if gap_s else 0.0
        letters.append((at_s, draw_request(random, id, at_s, limits.max_model_len)))
        if random.random() < 0.2:
            cancel = Cancel(
                id, random.choice([None, 0, 1]), random.choice([Reason.CANCELLED, Reason.STOP]), 1
            )
            letters.append((at_s + random.choice([0.0, random.expovariate(2.0)]), cancel))
    return sorted(letters, key=lambda letter: letter[0])


def draw_policy(random: Random):
    name = random.choice(list(POLICIES))
    if name == "static":
        return name, Static(random.choice([0.0, 0.2]))
    if name == "decode-first":
        return name, DecodeFirst(random.choice([0.25, 0.5, 0.9]))
    return name, POLICIES[name]()


@dataclass
class Report:
    """What a run exercised, and its digest."""

    digest: str
    counts: Counter = field(default_factory=Counter)


def draw_world(seed: int) -> tuple[World, dict[int, float], str, list]:
    random = Random(seed)
    policy_name, policy = draw_policy(random)
    memory = random.choice(["paged"] * 6 + [*MEMORY_RULES])
    limits = draw_limits(random, memory)
    letters = draw_letters(random, limits)
    faulty = {(random.randint(0, 40), random.randint(0, 60)) for _ in range(random.choice([0, 0, 3]))}
    script_seed = random.getrandbits(32)
    clock = VirtualClock()
    executor = CheckedExecutor(
        clock,
        lambda id, index: Random(hash((script_seed, id, index))).randint(0, 60),
        cost=LinearCost(random.choice([0.001, 0.02]), 0.001),
        fault=lambda slice: "seeded fault" if (slice.id, slice.start) in faulty else None,
        depth=random.choice([1, 1, 2, 3, 4]),
        exclusive=random.random() < 0.3,
        block_size=limits.block_size,
        blocks=limits.blocks,
    )
    world = make_world(letters, limits, policy, MEMORY_RULES[memory], clock, executor)
    arrivals = {letter.id: letter.arrival_s for _, letter in letters if isinstance(letter, Request)}
    return world, arrivals, policy_name, letters


def run_seed(seed: int) -> Report:
    """Run one world to its end, checking everything after every turn."""
    world, arrivals, policy_name, letters = draw_world(seed)
    scheduler, ledger, report = world.engine.scheduler, Ledger(), Report("")
    counts = report.counts
    limits = scheduler.limits
    seen = turns = 0
    wait = world.engine.inbox.wait

    def watched_wait(until):
        check_scheduler(scheduler, until)
        return wait(until)

    world.engine.inbox.wait = watched_wait
    running = True
    while running:
        running = world.engine.turn()
        turns += 1
        assert turns < 100_000, "no end in sight"
        ledger.take(world.log.events[seen:], arrivals)
        seen = len(world.log.events)
    _check_end(world, ledger, letters)
    _check_gaps(world, policy_name)
    assert turns <= 3 * len(world.trace.batches) + 3 * len(letters) + 10, "turns without progress"
    _count(world, counts, turns, letters, policy_name, limits)
    report.digest = world.trace.digest()
    return report


def _check_end(world: World, ledger: Ledger, letters) -> None:
    scheduler = world.engine.scheduler
    requests = [letter for _, letter in letters if isinstance(letter, Request)]
    assert ledger.verdicts.keys() == {r.id for r in requests}, "every request gets a verdict"
    for request in requests:
        refused = isinstance(ledger.verdicts[request.id], Refused)
        ends = [key for key in ledger.ends if key[0] == request.id]
        assert len(ends) == (0 if refused else request.choices), "every accepted choice ends"
    assert not scheduler._live
    assert not scheduler.residency.running
    pool = scheduler.residency.pool
    pool.check(())
    assert pool.available == pool.blocks, "when idle, free + cached is all"
    for batch in world.trace.batches:
        assert 1 <= sum(s.count for s in batch.slices) <= scheduler.limits.max_step_tokens
        assert all(s.count >= 1 for s in batch.slices)


def _check_gaps(world: World, policy_name: str) -> None:
    """With room for everyone, a policy that never interrupts decodes gives each a token in every batch."""
    limits, trace = world.engine.scheduler.limits, world.trace
    roomy = limits.blocks >= limits.max_seqs * -(-limits.max_model_len // limits.block_size)
    if (
        policy_name not in ("stall-free", "decode-first")
        or not roomy
        or limits.max_step_tokens < limits.max_seqs
    ):
        return
    allowed = trace.depth if trace.exclusive else 1
    last: dict[int, int] = {}
    prompts = {joined.id: joined.prompt_tokens for batch in trace.batches for joined in batch.joined}
    for batch in trace.batches:
        for s in batch.slices:
            if s.start >= prompts[s.id]:
                assert batch.id - last.get(s.id, batch.id) <= allowed, f"sequence {s.id} waited"
            last[s.id] = batch.id


def _count(world: World, counts: Counter, turns: int, letters, policy_name: str, limits: Limits) -> None:
    frames = [event for event in world.log.events if hasattr(event, "preemptions")]
    preemptions = sum(frame.preemptions for frame in frames)
    ends = Counter(event.reason.value for event in world.log.events if isinstance(event, Finished))
    counts["runs"] = 1
    counts["turns"] = turns
    counts["runs under 200 turns"] = turns < 200
    counts["requests"] = sum(isinstance(letter, Request) for _, letter in letters)
    counts["runs with pre-emption"] = preemptions > 0
    counts["pre-emptions"] = preemptions
    counts["recomputed tokens"] = sum(frame.recomputed_tokens for frame in frames)
    counts["prefix hit tokens"] = sum(frame.prefix_hit_tokens for frame in frames)
    counts["chunks"] = sum(
        s.count > 1 and not s.samples for batch in world.trace.batches for s in batch.slices
    )
    counts[f"policy {policy_name}"] = 1
    counts[f"depth {world.trace.depth}"] = 1
    for reason, number in ends.items():
        counts[f"ended {reason}"] = number
    for event in world.log.events:
        if isinstance(event, Refused):
            counts[f"refused {Refusal(event.reason).value}"] += 1
