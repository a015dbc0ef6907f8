"""From the flags of `headway plan` to its question and its candidates: lists, prices, and the one line that
says which flag is wrong.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from headway.bench.traces import Trace
from headway.bench.workload import Load
from headway.classes import read_classes
from headway.cli.sim_setup import (
    AskedLoad,
    check_among,
    most_step_tokens,
    read_load,
    step_tokens,
    told_of,
)
from headway.config import POLICY_NAMES, ConfigError
from headway.core.slo import ServiceClass
from headway.plan.candidates import Refused, Rule, Ways, candidates
from headway.plan.question import Candidate, Question
from headway.plan.repeated import Repeated
from headway.sim.deployment import degrees
from headway.sim.devices import DEVICES, Device, device, read_devices
from headway.sim.fits import generation
from headway.sim.models import Dimensions, model
from headway.sim.precision import Precision

T = TypeVar("T")
usual_tp = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The flags, by their names."""

    model: str
    device: list[str] | None
    devices: Path | None
    price: list[str] | None
    tp: str | None
    pp: str
    gpus: int
    weights: str
    kv: str
    memory_share: float
    engine: str
    policy: str
    max_num_seqs: int
    max_num_batched_tokens: str | None
    max_model_len: int
    classes: list[str] | None
    rate: float | None
    seed: int
    seeds: int


@dataclass(frozen=True, slots=True)
class Setup:
    question: Question
    model: Dimensions
    devices: Sequence[Device]
    ways: Ways

    def candidates(self) -> list[Candidate | Refused]:
        """Raises ConfigError where none fits."""
        with told_of("--tp, --pp"):
            found = list(candidates(self.model, self.devices, self.ways))
        if not found:
            raise ConfigError(f"--gpus {self.ways.gpus}: every TP x PP that was named has more GPUs")
        refused = [each for each in found if isinstance(each, Refused)]
        if len(refused) == len(found):
            raise ConfigError(f"--model: it fits on none of {len(self.devices)} devices; {refused[-1].why}")
        return found


def set_up(asked: Asked, load: AskedLoad) -> Setup:
    """Raises ConfigError, BadWorkload or BadModel."""
    with told_of("--class"):
        classes = read_classes(";".join(asked.classes or ()))
    makes_load = partial(_load, load, classes)
    makes_load()  # what is wrong with it is told here
    with told_of("--model"):
        dimensions = model(asked.model)
    seeds = tuple(range(asked.seed, asked.seed + asked.seeds))
    question = Question(makes_load, classes, seeds, asked.rate)
    return Setup(question, dimensions, _devices(asked), _ways(asked, dimensions))


def _load(asked: AskedLoad, classes: Mapping[str, ServiceClass]) -> Load:
    if asked.arrivals == "closed":
        raise ConfigError("--arrivals: closed has no rate; take poisson or another")
    load = read_load(asked, classes)
    if isinstance(load, Trace):
        with told_of(f"--trace {asked.trace}"):
            return Repeated(load)
    return load


def _devices(asked: Asked) -> list[Device]:
    own = asked.devices
    names = [name for part in asked.device or ("all",) for name in part.split(",")]
    with told_of("--device"):
        known = DEVICES | (read_devices(own) if own else {})
        listed = [known] if names == ["all"] else [names]
        found = {each.name: each for some in listed for each in (device(name.strip(), own) for name in some)}
    for text in asked.price or ():
        for pair in text.split(","):
            name, dollars = _price(pair)
            with told_of("--price"):
                priced = device(name, own)
            if priced.name not in found:
                raise ConfigError(f"--price: {priced.name} is not among the devices that are tried")
            found[priced.name] = replace(found[priced.name], dollars_per_hour=dollars)
    for one in found.values():
        if not one.dollars_per_hour:
            raise ConfigError(f"--price: {one.name} has no price; say it as {one.name}=DOLLARS")
    return list(found.values())


def _price(text: str) -> tuple[str, float]:
    name, _, dollars = text.partition("=")
    try:
        found = float(dollars)
    except ValueError:
        found = 0.0
    if not 0 < found < 1e6:
        raise ConfigError(f"--price: {text[:40]!r} is not DEVICE=DOLLARS an hour, such as H100=2.49")
    return name.strip(), found


def _ways(asked: Asked, of: Dimensions) -> Ways:
    policies = _list("--policy", asked.policy, str)
    for name in policies:
        check_among("--policy", name, POLICY_NAMES)
    budgets = asked.max_num_batched_tokens
    tokens = None if budgets is None else _list("--max-num-batched-tokens", budgets, _whole)
    rules = [
        Rule(name, most) for name in policies for most in tokens or (step_tokens.get(name, most_step_tokens),)
    ]
    usual = [tp for tp in usual_tp if tp in degrees(of)]
    with told_of("--engine"):
        engine = generation(asked.engine)
    if not 0 < asked.memory_share <= 1:
        raise ConfigError(f"--memory-share: {asked.memory_share} does not lie between 0 and 1")
    return Ways(
        usual if asked.tp is None else _list("--tp", asked.tp, _whole),
        _list("--pp", asked.pp, _whole),
        _list("--weights", asked.weights, _precision),
        _list("--kv", asked.kv, _precision),
        rules,
        asked.gpus,
        engine,
        asked.memory_share,
        asked.max_num_seqs,
        asked.max_model_len,
    )


def _list(flag: str, text: str, kind: Callable[[str], T]) -> list[T]:
    try:
        return list(dict.fromkeys(kind(part.strip()) for part in text.split(",")))
    except ValueError as error:
        raise ConfigError(f"{flag}: {error}; several stand with commas between") from error


def _whole(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1 << 20:
        raise ValueError(f"{text[:40]!r} is not a whole number from 1 to {1 << 20:,}")
    return int(text)


def _precision(text: str) -> Precision:
    if text not in list(Precision):
        raise ValueError(f"{text[:40]!r} is not one of {', '.join(Precision)}")
    return Precision(text)
