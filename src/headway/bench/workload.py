"""Seeded workloads: who asks when, for how much, as which class; and the four that policies are compared on.

Owns mixes and what is asked. A request is told to the engine as a client would: it names the most tokens
its class may get, and ends earlier, at a stop id, at the length drawn here. The same seed draws the same
lengths and the same gaps, in units of the mean gap, at every rate: two rates differ in nothing else. Each
stream of numbers is drawn from a text of its own.
"""

from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from math import isclose
from random import Random
from typing import NamedTuple, Protocol, TypeVar

from headway.bench.arrivals import Bend, Gaps, at_once, evenly_spread, phases, poisson
from headway.bench.fields import BadWorkload, class_name, number, shown
from headway.bench.lengths import LENGTHS, Draws
from headway.core.slo import BATCH, CHAT, INTERACTIVE, ServiceClass
from headway.core.types import Request, Sampling, type_code

T = TypeVar("T")

stop_id = 256  # prompts are of ids below it
_mark_bytes = 8  # of what a mark numbers; one more says what kind of number it is
_own, _shared = b"\1", b"\2"


class Prefix(NamedTuple):
    """How a prompt begins: block after block, equal hashes for equal text. What follows is its own."""

    hashes: "array[int]"  # 64 bits each
    block_tokens: int


class Arrival(NamedTuple):
    at_s: float
    service_class: str
    prompt_tokens: int
    output_tokens: int
    max_tokens: int
    prefix: Prefix | None = None  # None: it begins like no other

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.output_tokens


class Load(Protocol):
    """Open loop: requests come when they come, however the engine fares."""

    def arrivals(self, rate: float, seed: int, until_s: float) -> Iterator[Arrival]:
        """Those before `until_s`, in order; `rate` in requests per second."""


class Part(NamedTuple):
    """A class's part in a workload."""

    service_class: str
    share: float  # of all requests; the shares of a workload add up to 1
    lengths: str | Draws  # a name of LENGTHS, or one's own

    @property
    def draws(self) -> Draws:
        return LENGTHS[self.lengths] if isinstance(self.lengths, str) else self.lengths


class Shared(NamedTuple):
    """System prompts: this share of the requests begins with one of several texts of so many tokens."""

    share: float
    tokens: int
    texts: int = 1


@dataclass(frozen=True, slots=True)
class Workload:
    """Drawn, a class's lengths apart from its times."""

    parts: tuple[Part, ...]
    gaps: Gaps = poisson
    bend: Bend = evenly_spread
    requests: int | None = None  # no more than these; None: as many as come in time
    shared: Shared | None = None

    def __post_init__(self) -> None:
        if self.gaps is at_once and self.requests is None:
            raise BadWorkload("arrivals 'closed': all come at once, so say how many requests there are")

    def arrivals(self, rate: float, seed: int, until_s: float) -> Iterator[Arrival]:
        gaps, classes, sharing = (Random(f"{seed}/{name}") for name in ("gaps", "classes", "shared"))
        lengths = {part.service_class: Random(f"{seed}/lengths/{part.service_class}") for part in self.parts}
        weighted = [(part, part.share) for part in self.parts]
        even_s = 0.0
        for _ in count() if self.requests is None else range(self.requests):
            even_s += self.gaps(gaps) / rate
            at_s = self.bend(even_s)
            if at_s >= until_s:
                return
            part = pick(weighted, classes.random())
            draws = part.draws
            sizes = draws.draw(lengths[part.service_class].random)
            yield Arrival(at_s, part.service_class, *sizes, draws.max_tokens, self._prefix(sharing))

    def _prefix(self, sharing: Random) -> Prefix | None:
        if self.shared is None or sharing.random() >= self.shared.share:
            return None
        text = int(sharing.random() * self.shared.texts)
        return Prefix(array("Q", [text]), self.shared.tokens)


def pick(weighted: Sequence[tuple[T, float]], share: float) -> T:
    """Whose share of the whole `share` falls into."""
    for one, weight in weighted:
        share -= weight
        if share < 0:
            return one
    return weighted[-1][0]


def read_mix(text: str, classes: Collection[str]) -> dict[str, float]:
    """Such as chat=0.8,batch=0.2, the shares adding up to 1. Raises BadWorkload."""
    mix: dict[str, float] = {}
    where = f"mix {shown(text)}"
    for one in text.split(","):
        name, _, share = one.partition("=")
        if class_name(name, where) not in classes or name in mix:
            raise BadWorkload(f"{where}: {name} is no class, or named twice; there are {', '.join(classes)}")
        mix[name] = number(share, where, 0.0, 1.0)
    if not isclose(sum(mix.values()), 1.0, abs_tol=1e-3):
        raise BadWorkload(f"{where}: the shares add up to {sum(mix.values()):g}, not to 1")
    return mix


def request(id: int, arrival: Arrival) -> Request:
    """Greedy. Its prompt begins as `arrival.prefix` says, and goes on, or begins, with its own number."""
    sampling = Sampling(max_tokens=arrival.max_tokens, temperature=0.0, seed=id, stop_ids=(stop_id,))
    return Request(id, prompt_ids(id, arrival), sampling, arrival.at_s, service_class=arrival.service_class)


def prompt_ids(id: int, arrival: Arrival) -> "array[int]":
    """Of ids below `stop_id`: a mark where a block, or its own part, begins; zeros for the rest.

    A prefix index tells prompts apart by their first difference, so a mark of nine ids serves where a text
    of thousands would; a prompt of 2,000 tokens takes 2 us, drawn id by id it took 60.
    """
    tokens = array(type_code, bytes(array(type_code).itemsize * arrival.prompt_tokens))
    begun = 0
    if arrival.prefix is not None:
        for digest in arrival.prefix.hashes:
            _mark(tokens, begun, digest, _shared)
            begun += arrival.prefix.block_tokens
    _mark(tokens, begun, id, _own)
    return tokens


def _mark(tokens: "array[int]", start: int, number: int, kind: bytes) -> None:
    """As much of it as the prompt has room for; the digits that differ most come first."""
    mark = (number.to_bytes(_mark_bytes, "little") + kind)[: max(0, len(tokens) - start)]
    tokens[start : start + len(mark)] = array(type_code, list(mark))


# What is promised where policies are compared. Chat has a second for its first token, in place of 300 ms: its
# prompts have a median of 1,730 tokens and a P90 of 5,696, which alone takes an A100 half a second.
CLASSES: Mapping[str, ServiceClass] = {
    "chat": replace(CHAT, ttft_p95_s=1.0),
    "interactive": INTERACTIVE,
    "batch": BATCH,
}

_mix = (Part("chat", 0.60, "sharegpt"), Part("interactive", 0.25, "short"), Part("batch", 0.15, "document"))
_small = (
    Part("chat", 0.60, "small-chat"),
    Part("interactive", 0.25, "small-task"),
    Part("batch", 0.15, "small-document"),
)
_chat = (Part("chat", 1.0, "sharegpt"),)
WORKLOADS: Mapping[str, Workload] = {
    "chat": Workload(_chat),
    "mixed": Workload(_mix),
    "bursty": Workload(_chat, phases(4.0)),
    "bursty-mixed": Workload(_mix, phases(4.0)),
}
SMALL = "small"  # as `mixed`, for a small model on a CPU
NAMED: Mapping[str, Workload] = {**WORKLOADS, SMALL: Workload(_small)}
