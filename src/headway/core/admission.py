"""Who is let in: what could never run is refused, and where a class asks for it, what would come too late.
Owns the verdict with its numbers, and the rate at which a queue of prompts has lately gone down."""

from math import ceil

from headway.core.bookings import Bookings
from headway.core.learned import Learned
from headway.core.residency import Residency
from headway.core.slo import Overload, ServiceClass
from headway.core.types import Refusal, Refused, Request

full_queue_s = 1.0  # until those whom a full queue refuses may come again
backlog_memory_s = 4.0  # how far back the rate of prompts looks, in seconds with a backlog


class Admission:
    def __init__(self, residency: Residency, learned: Learned) -> None:
        self._residency = residency
        self._learned = learned
        self._seconds = self._tokens = 0.0  # while prompts waited, and of them taken in, whatever kept them
        self._bookings = Bookings()

    def observe(self, step_s: float, prompt_tokens: int) -> None:
        """A step in which prompts were taken in (computed, or found in the prefix index), or waited."""
        keep = max(0.0, 1.0 - step_s / backlog_memory_s)
        self._seconds = self._seconds * keep + step_s
        self._tokens = self._tokens * keep + prompt_tokens

    def judge(self, request: Request, queued: int, now: float, *, idle: bool) -> ServiceClass | Refused:
        """The class it is served as, or why not. For being late nobody is refused by an idle engine."""
        served = self._learned.known[request.service_class]
        refused = self._refuse_unfit(request, queued, now)
        if refused is not None or idle or served.on_overload is Overload.ACCEPT:
            return refused or served
        target_s = served.targets.replaced(request.own).ttft_s
        if target_s is None:
            return served
        late_s = request.arrival_s + target_s
        work_s = self._token_s * len(request.prompt)
        first_token_s = self._token_s * self._tokens_ahead(served.level) + work_s
        if request.retries:
            self._bookings.take_up()
        else:
            first_token_s += self._bookings.seconds(served.level, now, late_s)
        if now + first_token_s <= late_s:
            return served
        if served.downgrade_to is not None:
            return self._learned.known[served.downgrade_to]
        again_s = self._bookings.book(now + first_token_s - target_s, served.level, work_s) - now
        promise = f"class {served.name} promises it within {target_s:.1f} s"
        text = f"the first token would come {first_token_s:.1f} s from now, and {promise}"
        return Refused(request.id, now, Refusal.TOO_LATE, text, float(max(1, ceil(again_s))))

    def _refuse_unfit(self, request: Request, queued: int, now: float) -> Refused | None:
        """What an idle engine could not take either, and what finds the queue full."""
        limits = self._residency.limits
        prompt, output, choices = len(request.prompt), request.sampling.max_tokens, request.choices
        assert min(prompt, output, choices) >= 1, "the door lets no empty request in"
        most, pool = limits.max_model_len, limits.blocks * limits.block_size
        held = self._residency.memory(prompt, prompt + output, most)
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
            return Refused(request.id, now, Refusal.OVERLOADED, text, full_queue_s)
        return None

    @property
    def _token_s(self) -> float:
        """Of a prompt, at the rate of late; a guess where nothing was seen yet."""
        return self._seconds / self._tokens if self._tokens else self._learned.forecast.efficient_step(1.0)[1]

    def _tokens_ahead(self, level: int) -> int:
        """Of prompts that are computed before those of a newcomer."""
        running, waiting = self._residency.running, self._residency.waiting
        ahead = sum(s.remaining for s in running if s.level <= level and s.remaining > 1)
        return ahead + sum(s.known for s in waiting if s.level <= level)
