"""A world from a seed: limits, policy, memory rule, depth, requests, cancels, faults: all drawn from it."""

from array import array
from random import Random
from typing import NamedTuple

from headway.clock import VirtualClock
from headway.core.limits import Limits
from headway.core.memory import MEMORY_RULES
from headway.core.policies import POLICIES, DecodeFirst, Static
from headway.core.slo import Overload, ServiceClass, Targets
from headway.core.types import Batch, Cancel, Letter, Reason, Request, Retune, Sampling, Slice
from headway.sim.executor import LinearCost, Script
from headway.sim.run import World, make_world
from tests.sim.checked_executor import CheckedExecutor
from tests.sim.ledger import DEATH, FAULT
from tests.sim.watched import Watched

STOP = 7
CLASS_NAMES = ("quick", "whole", "patient", "deep")


def draw_classes(random: Random) -> dict[str, ServiceClass]:
    """Of every kind: gaps, deadlines, bounded patience, none at all; some refuse or give way on overload."""
    ttft_s, itl_s = random.choice([0.02, 0.3, 2.0]), random.choice([0.001, 0.03, 0.1])
    overload = random.choice([Overload.ACCEPT, Overload.REFUSE, Overload.DOWNGRADE])
    lower = "deep" if overload is Overload.DOWNGRADE else None
    quick = ServiceClass(
        name="quick", ttft_p95_s=ttft_s, itl_p95_s=itl_s, on_overload=overload, downgrade_to=lower
    )
    refuses = random.choice([Overload.ACCEPT, Overload.REFUSE])
    deadline_s = random.choice([0.5, 3.0])
    whole = ServiceClass(name="whole", ttft_p95_s=0.5, deadline_s=deadline_s, weight=2.0, on_overload=refuses)
    patient = ServiceClass(name="patient", level=1, max_wait_s=random.choice([0.05, 1.0, 20.0]))
    deep = ServiceClass(name="deep", level=random.choice([0, 1, 10]))
    return {each.name: each for each in (quick, whole, patient, deep)}


def draw_limits(random: Random) -> Limits:
    size = random.choice([1, 2, 4, 8, 16])
    context = random.choice([64, 128])
    longest = -(-context // size)
    max_seqs = random.choice([1, 3, 4, 8, 16])
    roomy = longest * (max_seqs - 1)  # all that run have room to their last token
    pool = longest + random.choice([0, 0, 1, longest // 2, longest // 2, longest * 2, roomy, roomy])
    return Limits(
        max_seqs=max_seqs,
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
    own = Targets(ttft_s=random.choice([None, None, 2.0]))
    salt = random.choice([b"", b"", b"a"])
    return Request(id, shared, sampling, at_s, choices, random.choice(CLASS_NAMES), own, salt)


def draw_letters(random: Random, limits: Limits) -> list[tuple[float, Letter]]:
    letters: list[tuple[float, Letter]] = []
    at_s, gap_s = 0.0, random.choice([0.0, 0.01, 0.1, 0.5])
    for id in range(random.randint(24, 34) + 2 * limits.max_seqs):
        at_s += random.expovariate(1 / gap_s) if gap_s else 0.0
        letters.append((at_s, draw_request(random, id, at_s, limits.max_model_len)))
        if random.random() < 0.2:
            cancel = Cancel(
                id, random.choice([None, 0, 1]), random.choice([Reason.CANCELLED, Reason.STOP]), 1
            )
            letters.append((at_s + random.choice([0.0, random.expovariate(2.0)]), cancel))
    return sorted(letters, key=lambda letter: letter[0])


def draw_retunes(random: Random, end_s: float) -> list[tuple[float, Retune]]:
    """In one world of twenty: other classes, one of them perhaps no more, and perhaps another policy."""
    retunes = []
    for id in range(random.randint(1, 3) if random.random() < 0.05 else 0):
        classes = draw_classes(random)
        for name in random.choice([(), ("whole",), ("patient",), ("quick", "patient")]):
            del classes[name]  # requests go on asking for it: they are on their way
        policy = random.choice([None, None, "adaptive", *POLICIES])
        retunes.append((random.uniform(0.0, 1.2 * end_s), Retune(id, tuple(classes.values()), policy)))
    return retunes


def draw_policy(random: Random):
    name = random.choice(list(POLICIES))
    if name == "static":
        return name, Static(random.choice([0.0, 0.2]))
    if name == "decode-first":
        return name, DecodeFirst()
    return name, POLICIES[name]()


def draw_script(random: Random) -> Script:
    seed = random.getrandbits(32)
    return lambda id, index: hash((seed, id, index)) % 61  # of numbers alone: the same in every process


class Drawn(NamedTuple):
    world: World
    script: Script
    executor: CheckedExecutor
    watched: Watched
    limits: Limits
    policy: str
    letters: list[tuple[float, Letter]]


def draw_world(seed: int) -> Drawn:
    random = Random(seed)
    name, policy = draw_policy(random)
    memory = random.choice(["paged"] * 6 + [*MEMORY_RULES])
    limits = draw_limits(random)
    letters = draw_letters(random, limits)
    retunes = draw_retunes(Random(f"retunes of {seed}"), letters[-1][0])  # of its own, so that all else stays
    letters = sorted([*letters, *retunes], key=lambda letter: letter[0])
    name = "several, one after another" if retunes else name
    salts: dict[int, bytes] = {}
    clock, script = VirtualClock(), draw_script(random)
    executor = draw_executor(random, clock, script, limits, salts)
    world = make_world(letters, limits, policy, MEMORY_RULES[memory], clock, executor, draw_classes(random))
    steady = name in ("stall-free", "decode-first") and limits.max_step_tokens >= limits.max_seqs
    patience = executor.depth + 2 if steady else None
    watched = Watched(world.engine.scheduler, patience, salts)
    return Drawn(world, script, executor, watched, limits, name, letters)


def draw_executor(
    random: Random, clock: VirtualClock, script: Script, limits: Limits, salts: dict[int, bytes]
) -> CheckedExecutor:
    faulty = {(random.randint(0, 40), random.randint(0, 60)) for _ in range(random.choice([0, 0, 3]))}
    last_batch = random.randint(1, 600) if random.random() < 0.05 else None

    def fault(slice: Slice) -> str | None:
        return FAULT if (slice.id, slice.start) in faulty else None

    def death(batch: Batch) -> str | None:
        return DEATH if batch.id == last_batch else None

    return CheckedExecutor(
        clock,
        script,
        cost=LinearCost(random.choice([0.001, 0.02]), 0.001),
        fault=fault,
        death=death,
        depth=random.choice([1, 1, 2, 3, 4]),
        exclusive=random.random() < 0.3,
        block_size=limits.block_size,
        blocks=limits.blocks,
        salts=salts,
    )
