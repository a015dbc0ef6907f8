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
from headway.bench.workload import NAMED, SMALL, Load, Part, Workload, read_mix
from headway.classes import read_classes
from headway.cli.sim_machine import Machine, check_model, deployed, measured
from headway.config import POLICY_NAMES, ConfigError, Settings
from headway.core.limits import Limits
from headway.core.memory import MEMORY_RULES
from headway.core.policies import POLICIES, Policy
from headway.core.slo import ServiceClass
from headway.profile.file import Calibration, read_profile
from headway.sim.deployment import Deployment
from headway.sim.devices import device
from headway.sim.executor import Cost
from headway.sim.faults import Burst, Faults, Slow
from headway.sim.fits import generation
from headway.sim.models import model
from headway.sim.precision import Precision
from headway.sim.simulate import Trial

step_tokens = {"stall-free": 512, "adaptive": 4096, "aimd": 4096}  # else
most_step_tokens = 8192
of_devices = ("device", "devices", "tp", "pp", "nodes", "weights", "kv", "memory_share", "engine")  # alone
default_model, default_device, default_workload = "Mistral-7B", "A100-80", "sharegpt"
default_requests, default_rate = 1000, 1.0
tail_s = (
    120.0  # load goes on so long after the window: within it an answer of 1,024 tokens ends at 100 ms each
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedLoad:
    """The flags that say who asks, by their names."""

    workload: str | None = None
    lengths: Path | None = None
    trace: Path | None = None
    trace_kind: str | None = None
    mix: str | None = None
    arrivals: str | None = None
    requests: int | None = None
    window: float | None = None

    @property
    def workload_name(self) -> str:
        return self.workload or default_workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(AskedLoad):
    """And all others."""

    model: str | None = None
    profile: Path | None = None
    device: str | None = None
    devices: Path | None = None
    tp: int = 1
    pp: int = 1
    nodes: int = 1
    weights: Precision = Precision.BITS16
    kv: Precision = Precision.BITS16
    memory_share: float = 0.9
    engine: str = "headway"
    policy: str = "adaptive"
    kv_allocation: str = "paged"
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    max_model_len: int | None = None
    max_queue: int | None = None
    block_size: int = 16
    prefix_caching: bool = True
    classes: list[str] | None = None
    rate: float | None = None
    slow: list[str] | None = None
    lose_rank: float | None = None
    leaving: float = 0.0
    burst: list[str] | None = None

    @property
    def workload_name(self) -> str:
        return self.workload or (default_workload if self.profile is None else SMALL)


@dataclass(frozen=True, slots=True)
class Setup:
    machine: Machine
    load: Load
    classes: Mapping[str, ServiceClass]
    limits: Limits
    faults: Faults
    rate: float
    window_s: float
    asked: Asked

    def policy(self) -> Policy:
        return POLICIES[self.asked.policy]()

    def trial(self, cost: Cost) -> Trial:
        machine = self.machine
        return Trial(
            self.load,
            self.classes,
            cost,
            MEMORY_RULES[self.asked.kv_allocation],
            self.window_s,
            self.window_s + tail_s,
            machine.pp,  # in flight: as many as keep every stage busy
            machine.pp,
            self.faults,
            machine.way,
            machine.profile,
        )


def set_up(asked: Asked) -> Setup:
    """Raises ConfigError, BadProfile, BadWorkload or BadModel."""
    check_among("--policy", asked.policy, POLICY_NAMES)
    check_among("--kv-allocation", asked.kv_allocation, MEMORY_RULES)
    machine, limits = _devices(asked) if asked.profile is None else _measured(asked, asked.profile)
    with told_of("--class"):
        classes = read_classes(";".join(asked.classes or ()))
    load = read_load(asked, classes)
    rate = asked.rate or _own_rate(load)
    return Setup(machine, load, classes, limits, _faults(asked), rate, asked.window or inf, asked)


def _own_rate(load: Load) -> float:
    return load.rate if isinstance(load, Trace) and load.rate < inf else default_rate


def _devices(asked: Asked) -> tuple[Machine, Limits]:
    tokens = asked.max_num_batched_tokens or step_tokens.get(asked.policy, most_step_tokens)
    deployment = _deployment(asked, tokens)
    with told_of("--model"):
        blocks = deployment.kv_blocks(asked.block_size)
    limits = Limits(
        asked.max_num_seqs or 128,
        tokens,
        asked.max_queue or 1_000_000,
        asked.block_size,
        blocks,
        asked.max_model_len or 16_384,
        asked.prefix_caching,
    )
    return deployed(deployment), limits


def _measured(asked: Asked, profile: Path) -> tuple[Machine, Limits]:
    """The limits are those of `headway serve` on that machine."""
    for name in of_devices:
        if getattr(asked, name) != getattr(Asked(), name):
            flag = f"--{name.replace('_', '-')}"
            raise ConfigError(f"{flag}: --profile says what a step takes; leave {flag} out")
    calibration = read_profile(profile)
    if asked.model is not None:
        with told_of("--model"):
            dimensions = model(asked.model)
        check_model(calibration, dimensions, f"--profile {profile}")
    return measured(calibration), served_limits(asked, calibration)


def served_limits(asked: Asked, calibration: Calibration) -> Limits:
    """What `headway serve` has unless it is told otherwise."""
    usual, room = Settings(), calibration.room
    return Limits(
        asked.max_num_seqs or usual.max_num_seqs,
        asked.max_num_batched_tokens or usual.max_num_batched_tokens,
        asked.max_queue or usual.max_queue,
        asked.block_size,
        max(1, room.kv_tokens // asked.block_size),
        asked.max_model_len or room.max_model_len,
        asked.prefix_caching,
    )


def _deployment(asked: Asked, tokens: int) -> Deployment:
    with told_of("--model"):
        dimensions = model(asked.model or default_model)
    with told_of("--device"):
        found = device(asked.device or default_device, asked.devices)
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
    name = asked.workload_name
    if asked.lengths is None and name in NAMED:
        if mix:
            raise ConfigError(f"--mix: {name} has classes of its own; take lengths such as sharegpt")
        return arriving(replace(NAMED[name], requests=requests), asked.arrivals, requests)
    draws: Draws = read_lengths(name) if asked.lengths is None else read_pairs(asked.lengths)
    parts = tuple(Part(name, share, draws) for name, share in (mix or {"chat": 1.0}).items())
    return arriving(Workload(parts, requests=requests), asked.arrivals, requests)


def arriving(workload: Workload, arrivals: str | None, requests: int | None) -> Workload:
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
