"""Who is let in: what could never run is refused, and where a class asks for it, what would come too late.

Owns the verdict and the numbers in it, and the rate at which a queue of prompts has lately gone down.
"""

from collections.abc import Iterable
from math import ceil

from headway.core.limits import Limits
from headway.core.memory import MemoryRule
from headway.core.sequence import Sequence
from headway.core.slo import ServiceClass
from headway.core.types import Refusal, Refused, Request

backlog_memory_s = 4.0  # how far back the rate of prompts looks, in seconds with a backlog


def refusal(request: Request, queued: int, limits: Limits, memory: MemoryRule, now: float) -> Refused | None:
    """Of what an idle engine could not take either, and of what finds the queue full."""
    prompt, output, choices = len(request.prompt), request.sampling.max_tokens, request.choices
    assert min(prompt, output, choices) >= 1, "the door lets no empty request in"
    most, pool = limits.max_model_len, limits.blocks * limits.block_size
    held = memory(prompt, prompt + output, most)
    asked = f"the prompt has {prompt} tokens and max_tokens is {output}, {prompt + output} together"
    if prompt + output > most:
        return Refused(request.id, now, Refusal.TOO_LONG, f"{asked}; the context holds {most}")
    if max(held, prompt + output) > pool:
        return Refused(request.id, now, Refusal.NEVER_FITS, f"{asked}; the KV cache holds {pool}")
    if choices > limits.max_queued:
        text = f"{choices} choices are asked for; the queue holds {limits.max_queued}"
        return Refused(request.id, now, Refusal.NEVER_FITS, text)
    if queued + choices > limits.max_queued:
        text = f"{queued} sequences are queued; the limit is {limits.max_queued}"
        return Refused(request.id, now, Refusal.OVERLOADED, text, limits.retry_after_s)
    return None


class Backlog:
    """How fast prompts have been taken in while some waited: seconds a token, whatever kept them waiting."""

    def __init__(self) -> None:
        self._seconds = self._tokens = 0.0

    def observe(self, step_s: float, prompt_tokens: int) -> None:
        keep = max(0.0, 1.0 - step_s / backlog_memory_s)
        self._seconds = self._seconds * keep + step_s
        self._tokens = self._tokens * keep + prompt_tokens

    def seconds(self, tokens: int, guess_s: float) -> float:
        """What so many take. `guess_s` a token where nothing was seen yet."""
        return tokens * (self._seconds / self._tokens if self._tokens else guess_s)


def prompt_tokens_ahead(level: int, waiting: Iterable[Sequence], running: Iterable[Sequence]) -> int:
    """Prompt tokens that are computed before those of a newcomer of this level."""
    ahead = sum(s.known for s in waiting if s.level <= level)
    return ahead + sum(s.remaining for s in running if s.level <= level and s.remaining > 1)


def comes_too_late(request: Request, served: ServiceClass, first_s: float, now: float) -> Refused | None:
    """The refusal of a request whose first token, `first_s` from now on, would be late."""
    target_s = served.targets.replaced(request.own).ttft_s
    if target_s is None or now + first_s <= request.arrival_s + target_s:
        return None
    text = f"class {served.name} promises a first token within {target_s:.1f} s, not in {first_s:.1f} s"
    again_s = now + first_s - request.arrival_s - target_s
    return Refused(request.id, now, Refusal.TOO_LATE, text, float(ceil(again_s)))
