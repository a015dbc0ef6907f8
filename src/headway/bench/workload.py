"""Seeded workloads: who asks when, for how much, as which class; and the four that policies are compared on.

Owns lengths, arrivals and mixes. A request is told to the engine as a client would: it names the most tokens
its class may get, and ends earlier, at a stop id, at the length drawn here. The same seed draws the same
lengths and the same gaps, in units of the mean gap, at every rate: two rates differ in nothing else. Only
`Random.random`, `gammavariate` and `randbytes` are drawn from, each stream from a text of its own.
"""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import log, sqrt
from random import Random
from typing import NamedTuple

from headway.core.slo import BATCH, CHAT, INTERACTIVE, ServiceClass
from headway.core.types import Request, Sampling

stop_id = 256  # prompts are of ids below it


@dataclass(frozen=True, slots=True)
class Quantiles:
    """A distribution by its quantile function, straight between the knots (share, tokens)."""

    knots: tuple[tuple[float, int], ...]  # the first at share 0, the last at 1

    def at(self, share: float) -> int:
        shares = [knot[0] for knot in self.knots]
        i = min(bisect_right(shares, share), len(shares) - 1)
        (left, low), (right, high) = self.knots[i - 1], self.knots[i]
        return round(low + (high - low) * (share - left) / (right - left))


def evenly(low: int, high: int) -> Quantiles:
    return Quantiles(((0.0, low), (1.0, high)))


def percentiles(*knots: tuple[float, int]) -> Quantiles:
    return Quantiles(tuple((percent / 100, tokens) for percent, tokens in knots))


@dataclass(frozen=True, slots=True)
class Lengths:
    """Of prompts and answers, drawn independently."""

    prompt: Quantiles
    output: Quantiles
    max_tokens: int  # what the client asks for: it does not know how long its answer will be


# `sharegpt`: the percentiles of 30,731 chat rounds (microsoft/sarathi-serve, Apache-2.0; each round with all
# before it as its prompt, at most 8,192 tokens together). The ranks of its two lengths correlate by 0.05.
LENGTHS: Mapping[str, Lengths] = {
    "sharegpt": Lengths(
        percentiles(
            (0, 1), (1, 12), (5, 29), (10, 74), (15, 180), (20, 382), (30, 777), (40, 1203), (50, 1730),
            (60, 2401), (70, 3235), (80, 4278), (90, 5696), (95, 6563), (99, 7433), (100, 8141),
        ),
        percentiles(
            (0, 2), (1, 6), (5, 44), (10, 84), (20, 181), (30, 271), (40, 346), (50, 415), (60, 493),
            (70, 581), (80, 683), (90, 834), (95, 920), (99, 998), (100, 1024),
        ),
        max_tokens=1024,
    ),
    "short": Lengths(evenly(300, 500), evenly(20, 80), max_tokens=128),
    "document": Lengths(evenly(1000, 3000), evenly(200, 400), max_tokens=512),
}  # fmt: skip


class Part(NamedTuple):
    """A class's part in a workload."""

    service_class: str
    share: float  # of all requests; the shares of a workload add up to 1
    lengths: str


class Arrival(NamedTuple):
    at_s: float
    service_class: str
    prompt_tokens: int
    output_tokens: int
    max_tokens: int

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.output_tokens


Gaps = Callable[[Random], float]  # one gap, in units of the mean gap


def poisson(random: Random) -> float:
    return -log(1.0 - random.random())


def phases(cv: float) -> Gaps:
    """Bursts and pauses: gaps of two exponential distributions that share the time evenly (H2 with balanced
    means, the usual fit to a coefficient of variation above 1; Whitt 1982).

    With cv 4: bursts of 33 requests on average at nearly twice the mean rate, then a pause of 16 mean gaps.
    """
    short = 0.5 * (1 + sqrt((cv**2 - 1) / (cv**2 + 1)))

    def gap(random: Random) -> float:
        share = short if random.random() < short else 1 - short
        return poisson(random) / (2 * share)

    return gap


def clusters(cv: float) -> Gaps:
    """Gamma distributed gaps. With cv 4 half of them are below a 6,000th of the mean: requests come a
    handful at the same moment, however low the rate.
    """
    return lambda random: float(random.gammavariate(1 / cv**2, cv**2))


@dataclass(frozen=True, slots=True)
class Workload:
    """Open loop: requests come when they come, however the engine fares."""

    parts: tuple[Part, ...]
    gaps: Gaps = poisson

    def arrivals(self, rate: float, seed: int, until_s: float) -> Iterator[Arrival]:
        """Those before `until_s`, in order; `rate` in requests per second."""
        gaps, classes = Random(f"{seed}/gaps"), Random(f"{seed}/classes")
        lengths = {part.service_class: Random(f"{seed}/lengths/{part.service_class}") for part in self.parts}
        at_s = 0.0
        while (at_s := at_s + self.gaps(gaps) / rate) < until_s:
            part = self._part(classes.random())
            drawn, random = LENGTHS[part.lengths], lengths[part.service_class].random
            prompt_tokens, output_tokens = drawn.prompt.at(random()), drawn.output.at(random())
            yield Arrival(at_s, part.service_class, prompt_tokens, output_tokens, drawn.max_tokens)

    def _part(self, share: float) -> Part:
        for part in self.parts:
            share -= part.share
            if share < 0:
                return part
        return self.parts[-1]


def request(id: int, arrival: Arrival, seed: int) -> Request:
    """Greedy. Its prompt is drawn from all ids below `stop_id`, so that no two begin alike."""
    prompt = array("i", list(Random(f"{seed}/prompt/{id}").randbytes(arrival.prompt_tokens)))
    sampling = Sampling(max_tokens=arrival.max_tokens, temperature=0.0, seed=id, stop_ids=(stop_id,))
    return Request(id, prompt, sampling, arrival.at_s, service_class=arrival.service_class)


# What is promised where policies are compared. Chat has a second for its first token, in place of 300 ms: its
# prompts have a median of 1,730 tokens and a P90 of 5,696, which alone takes an A100 half a second.
CLASSES: Mapping[str, ServiceClass] = {
    "chat": replace(CHAT, ttft_p95_s=1.0),
    "interactive": INTERACTIVE,
    "batch": BATCH,
}

_mix = (Part("chat", 0.60, "sharegpt"), Part("interactive", 0.25, "short"), Part("batch", 0.15, "document"))
_chat = (Part("chat", 1.0, "sharegpt"),)
WORKLOADS: Mapping[str, Workload] = {
    "chat": Workload(_chat),
    "mixed": Workload(_mix),
    "bursty": Workload(_chat, phases(4.0)),
    "bursty-mixed": Workload(_mix, phases(4.0)),
}
