"""What can be said of a candidate without a run: that it cannot keep a promise, or what it may hold."""

from collections.abc import Mapping
from math import ceil
from typing import NamedTuple

from headway.core.slo import ServiceClass
from headway.core.types import Slice
from headway.plan.demand import Asks, Demand
from headway.plan.question import Candidate
from headway.sim.attention import Count
from headway.sim.capacity import capacity
from headway.sim.cost import StepCost

longest_gap_s = 10.0  # between tokens, where nothing is promised
stretched = 2.0  # a policy takes more prompts into a step as long as the promise allows it


def impossible(candidate: Candidate, demand: Demand, classes: Mapping[str, ServiceClass]) -> str | None:
    """Why a promise cannot be kept even for one request that is alone; None: it can."""
    cost, pp = candidate.deployment.cost(), candidate.deployment.pp
    for name, asks in demand.of_class.items():
        targets = classes[name].targets
        if asks.long_request > candidate.kv_tokens:
            return (
                f"its KV memory holds {candidate.kv_tokens:,} tokens, and 5 in 100 requests of {name} have "
                f"{asks.long_request:,} or more"
            )
        decode_s = pp * _decode_s(cost, asks)
        if targets.itl_s is not None and decode_s > targets.itl_s:
            return (
                f"a bare decode step takes {_ms(decode_s)}, and {name} is promised {_ms(targets.itl_s)} "
                "between tokens"
            )
        prompt_s = pp * prompt_alone_s(cost, asks.long_prompt, candidate.limits.max_step_tokens)
        if targets.ttft_s is not None and prompt_s > targets.ttft_s:
            return (
                f"a prompt of {asks.long_prompt:,} tokens takes {_ms(prompt_s)} alone, 5 in 100 of {name} "
                f"are as long, and a first token is promised within {_ms(targets.ttft_s)}"
            )
        whole_s = asks.output * decode_s
        if targets.deadline_s is not None and whole_s > targets.deadline_s:
            return (
                f"the {asks.output:,.0f} tokens of an average answer take {_ms(whole_s)} alone, and {name} "
                f"is promised {_ms(targets.deadline_s)} for all of it"
            )
    return None


def _decode_s(cost: StepCost, asks: Asks) -> float:
    """Of one stage, for one sequence of average context."""
    return cost.seconds(cost.count((Slice(0, int(asks.context), 1, True),)), 1)


def prompt_alone_s(cost: StepCost, tokens: int, most: int) -> float:
    """Of one stage: a prompt in chunks of the most tokens that a step may have."""
    starts = range(0, tokens, most)
    chunks = [Slice(0, start, min(most, tokens - start), start + most >= tokens) for start in starts]
    return sum(cost.seconds(cost.count((chunk,)), 1) for chunk in chunks)


class Estimate(NamedTuple):
    rate: float  # requests per second; 0: none
    stay_s: float  # of a request, from its first token to its last; not less than it will be, mostly


def estimate(candidate: Candidate, demand: Demand) -> Estimate:
    """Where an even stream of average requests just fits the strictest pace, the KV memory and the limits. It
    knows no queue, no chance and no policy.
    """
    stream = _EvenStream(candidate, demand)
    rate = capacity(lambda rate: stream.gap_s(rate) is not None, 1.0, tolerance=0.01, stride=2.0)
    gap_s = (stream.gap_s(rate) or 0.0) if rate else 0.0
    return Estimate(rate, demand.overall.output * min(stretched * gap_s, demand.gap_s))


class _EvenStream:
    """A step that takes s seconds has rate x s prompts in it, whole, and a token of each of rate x output x s
    streams; how long it then takes is asked until that is s.
    """

    def __init__(self, candidate: Candidate, demand: Demand) -> None:
        self._cost, self._pp = candidate.deployment.cost(), candidate.deployment.pp
        self._asks, self._gap_s = demand.overall, min(demand.gap_s, longest_gap_s)
        context = int(demand.overall.context)
        self._streams = min(candidate.limits.max_seqs, candidate.kv_tokens / context)
        self._tokens = candidate.limits.max_step_tokens
        self._decode_s = self._cost.count((Slice(0, context, 1, True),)).decode_s
        self._prefill_s = self._prompt_s(ceil(demand.overall.prompt))

    def _prompt_s(self, tokens: int) -> float:
        """Attention of a prompt."""
        most = self._tokens
        chunks = (Slice(0, at, min(most, tokens - at), False) for at in range(0, tokens, most))
        return sum(self._cost.count((chunk,)).prefill_s for chunk in chunks)

    def gap_s(self, rate: float) -> float | None:
        """Between two tokens of a stream. None: the rate does not fit."""
        step_s = 0.0
        while True:  # it grows each time by a hundredth, or it is found; it ends at the gap
            prompts = rate * step_s
            streams = max(1.0, prompts * self._asks.output)
            tokens = round(prompts * self._asks.prompt + streams)
            if tokens > self._tokens or self._pp * streams > self._streams:
                return None
            count = Count(
                tokens, round(prompts + streams), prompts * self._prefill_s, streams * self._decode_s
            )
            before_s, step_s = step_s, self._cost.seconds(count, round(streams))
            if self._pp * step_s > self._gap_s:
                return None
            if step_s <= 1.01 * before_s:
                return self._pp * step_s


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:,.0f} ms"
