"""What a load asks for, on average and at its longest: drawn once, from its own lengths and classes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import inf
from typing import NamedTuple

from headway.bench.workload import Arrival, Load
from headway.core.slo import ServiceClass, pace_s

drawn = 2000  # requests that are looked at


class Asks(NamedTuple):
    """Of some requests."""

    prompt: float  # tokens on average, less what earlier prompts began with
    output: float
    context: float  # tokens that an output token sees, on average; so many does an open request hold
    long_prompt: int  # the 95th percentile, nearest rank: a promise for 95 in 100 is one for these, too
    long_request: int  # of prompt and answer


@dataclass(frozen=True, slots=True)
class Demand:
    overall: Asks
    of_class: Mapping[str, Asks]  # those that occur
    gap_s: float  # between tokens, of the strictest class; inf: there is no promise

    @classmethod
    def of(cls, load: Load, classes: Mapping[str, ServiceClass]) -> "Demand":
        seen = list(_fresh(islice(load.arrivals(1.0, 0, inf), drawn)))
        by_class = {name: [a for a in seen if a.service_class == name] for name in classes}
        asks = {name: _asks(group) for name, group in by_class.items() if group}
        gaps_s = (pace_s(classes[name].targets, of.output) for name, of in asks.items())
        return cls(_asks(seen), asks, min(gaps_s))


def _fresh(arrivals: Iterable[Arrival]) -> Iterable[Arrival]:
    """Prompts without what an earlier one began with: the most that a prefix cache could spare."""
    known: set[int] = set()
    for arrival in arrivals:
        spared = 0
        if arrival.prefix is not None:
            for digest in arrival.prefix.hashes:
                spared += arrival.prefix.block_tokens * (digest in known)
            known.update(arrival.prefix.hashes)
        yield arrival._replace(prompt_tokens=max(1, arrival.prompt_tokens - spared))


def _asks(group: Sequence[Arrival]) -> Asks:
    outputs = sum(a.output_tokens for a in group)
    contexts = sum(a.output_tokens * (a.prompt_tokens + a.output_tokens / 2) for a in group)
    return Asks(
        sum(a.prompt_tokens for a in group) / len(group),
        outputs / len(group),
        contexts / outputs,
        _long(a.prompt_tokens for a in group),
        _long(a.tokens for a in group),
    )


def _long(tokens: Iterable[int]) -> int:
    ordered = sorted(tokens)
    return ordered[-(-95 * len(ordered) // 100) - 1]
