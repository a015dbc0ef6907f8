"""From the flags of `headway sim` to what is simulated. Owns the defaults that depend on other flags, and the
one line that says which flag is wrong.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path

from headway.bench.arrivals import read_arrivals
from headway.bench.lengths import Draws, read_lengths
from headway.bench.traces import Trace, read_pairs, read_trace
from headway.bench.workload import WORKLOADS, Load, Part, Workload, read_mix
from headway.classes import read_classes
from headway.config import POLICY_NAMES, ConfigError
from headway.core.limits import Limits
from headway.core.memory import MEMORY_RULES
from headway.core.policies import POLICIES, Policy
from headway.core.slo import ServiceClass
from headway.sim.deployment import Deployment
from headway.sim.devices import device
from headway.sim.faults import Burst, Faults, Slow
from headway.sim.fits import generation
from headway.sim.meter import Meter
from headway.sim.models import model
from headway.sim.precision import Precision
from headway.sim.simulate import Trial

step_tokens = {"stall-free": 512, "adaptive": 4096, "aimd": 4096}  # else
most_step_tokens = 8192
default_requests, default_rate = 1000, 1.0
tail_s = (
    120.0  # load goes on so long after the window: within it an answer of 1,024 tokens ends at 100 ms each
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedLoad:
    """The flags that say who asks, by their names."""

    workload: str
    lengths: Path | None
    trace: Path | None
    trace_kind: str | None
    mix: str | None
    arrivals: str | None
    requests: int | None
    window: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(AskedLoad):
    """And all others."""

    model: str
    device: str
    devices: Path | None
    tp: int
    pp: int
    nodes: int
    weights: Precision
    kv: Precision
    memory_share: float
    engine: str
    policy: str
    kv_allocation: str
    max_num_seqs: int
    max_num_batched_tokens: int | None
    max_model_len: int
    max_queue: int
    block_size: int
    prefix_caching: bool
    classes: list[str] | None
    rate: float | None
    slow: list[str] | None
    lose_rank: float | None
    leaving: float
    burst: list[str] | None


@dataclass(frozen=True, slots=True)
class Setup:
    deployment: Deployment
    load: Load
    classes: Mapping[str, ServiceClass]
    limits: Limits
    faults: Faults
    rate: float
    window_s: float
    asked: Asked

    def policy(self) -> Policy:
        return POLICIES[self.asked.policy]()

    def trial(self) -> Trial:
        """With a meter of its own."""
        return Trial(
            self.load,
            self.classes,
            Meter(self.deployment),
            MEMORY_RULES[self.asked.kv_allocation],
            self.window_s,
            self.window_s + tail_s,
            self.deployment.depth,
            self.deployment.pp,
            self.faults,
        )


def set_up(asked: Asked) -> Setup:
    """Raises ConfigError, BadWorkload or BadModel."""
    check_among("--policy", asked.policy, POLICY_NAMES)
    check_among("--kv-allocation", asked.kv_allocation, MEMORY_RULES)
    tokens = asked.max_num_batched_tokens or step_tokens.get(asked.policy, most_step_tokens)
    deployment = _deployment(asked, tokens)
    with told_of("--model"):
        blocks = deployment.kv_blocks(asked.block_size)
    limits = Limits(
        asked.max_num_seqs,
        tokens,
        asked.max_queue,
        asked.block_size,
        blocks,
        asked.max_model_len,
        asked.prefix_caching,
    )
    with told_of("--class"):
        classes = read_classes(";".join(asked.classes or ()))
    load = read_load(asked, classes)
    rate = asked.rate or _own_rate(load)
    return Setup(deployment, load, classes, limits, _faults(asked), rate, asked.window or inf, asked)


def _own_rate(load: Load) -> float:
    return load.rate if isinstance(load, Trace) and load.rate < inf else default_rate


def _deployment(asked: Asked, tokens: int) -> Deployment:
    with told_of("--model"):
        dimensions = model(asked.model)
    with told_of("--device"):
        found = device(asked.device, asked.devices)
    with told_of("--engine"):
        engine = generation(asked.engine)
    with told_of("--tp, --pp"):
        return Deployment(
            dimensions,
            found,
            asked.tp,
            asked.pp,
            asked.weights,
            asked.kv,
            engine,
            asked.memory_share,
            asked.nodes,
            step_tokens=tokens,
        )


def read_load(asked: AskedLoad, classes: Mapping[str, ServiceClass]) -> Load:
    mix = read_mix(asked.mix, classes) if asked.mix else None
    if asked.trace is not None:
        if asked.arrivals or asked.lengths:
            raise ConfigError("--trace says when requests come and how long they are; leave the others out")
        trace = read_trace(asked.trace, asked.trace_kind, classes=list(classes), mix=mix)
        return replace(trace, requests=trace.requests[: asked.requests]) if asked.requests else trace
    requests = asked.requests if asked.requests or asked.window else default_requests
    if asked.lengths is None and asked.workload in WORKLOADS:
        named = replace(WORKLOADS[asked.workload], requests=requests)
        if mix:
            raise ConfigError(
                f"--mix: {asked.workload} has classes of its own; take lengths such as sharegpt"
            )
        return _arriving(named, asked.arrivals, requests)
    draws: Draws = read_lengths(asked.workload) if asked.lengths is None else read_pairs(asked.lengths)
    parts = tuple(Part(name, share, draws) for name, share in (mix or {"chat": 1.0}).items())
    return _arriving(Workload(parts, requests=requests), asked.arrivals, requests)


def _arriving(workload: Workload, arrivals: str | None, requests: int | None) -> Workload:
    if arrivals is None:
        return workload
    pattern = read_arrivals(arrivals)
    return replace(workload, gaps=pattern.gaps, bend=pattern.bend, requests=requests)


def _faults(asked: Asked) -> Faults:
    slow = tuple(Slow(*_numbers("--slow", text, 3)) for text in asked.slow or ())
    pairs = (_numbers("--burst", text, 2) for text in asked.burst or ())
    bursts = tuple(Burst(at_s, int(requests)) for at_s, requests in pairs)
    return Faults(slow, asked.lose_rank, asked.leaving, bursts)


def _numbers(flag: str, text: str, count: int) -> list[float]:
    try:
        found = [float(part) for part in text.split(":")]
    except ValueError:
        found = []
    if len(found) != count or not all(0 <= number < 1e9 for number in found):
        raise ConfigError(f"{flag}: {text[:40]!r} is not {count} numbers with : between, from 0 on")
    return found


def check_among(flag: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        raise ConfigError(f"{flag}: {name[:40]!r} is not one of {', '.join(known)}")


@contextmanager
def told_of(flag: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ConfigError(f"{flag}: {error}") from error
