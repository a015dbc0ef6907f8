"""Who is let in: what could never run is refused, and where a class asks for it, what would come too late.
Owns the verdict with its numbers, and the rate at which a queue of prompts has lately gone down."""

from headway.core.bookings import Bookings
from headway.core.learned import Learned
from headway.core.residency import Residency
from headway.core.sequence import Sequence
from headway.core.slo import Overload, ServiceClass, first_due_s
from headway.core.types import Refusal, Refused, Request

backlog_memory_s, least_tokens = 4.0, 16.0  # that the rate of prompts looks back on, with a backlog


class Admission:
    def __init__(self, residency: Residency, learned: Learned) -> None:
        self._residency, self._max_seqs = residency, residency.limits.max_seqs
        self._learned = learned
        self._seconds = self._tokens = 0.0  # while prompts waited, and of them taken in, whatever kept them
        self._bookings = Bookings()

    def observe(self, step_s: float, prompt_tokens: int) -> None:
        """A step in which prompts were computed, or waited."""
        keep = max(0.0, 1.0 - step_s / backlog_memory_s)
        self._seconds = self._seconds * keep + step_s
        self._tokens = self._tokens * keep + prompt_tokens

    def judge(self, sequence: Sequence, queued: int, now: float, *, idle: bool) -> ServiceClass | Refused:
        """The class it is served as, or why not. For being late nobody is refused by an idle engine."""
        request = sequence.request
        served = self._learned.known[request.service_class]
        self._bookings.forget(now)
        if refused := self._refuse_unfit(request, queued, now):
            return refused
        came_back = self._bookings.take_up(request.prompt, now)
        if idle or served.on_overload is Overload.ACCEPT:
            return served
        self._residency.look_up(sequence)
        decode_s = self._learned.bare_s * request.sampling.max_tokens
        late_s = first_due_s(served.targets.replaced(request.own), request.arrival_s, decode_s)
        ahead, tokens = self._tokens_ahead(served.level, now, late_s), sequence.remaining - sequence.hits
        best_s = self._learned.forecast.efficient_step(1.0)[1]  # of a token
        if request.arrival_s + tokens * best_s > late_s:
            return served  # an idle engine would be late too: to come again would mend nothing
        rivals = sum(s.level <= served.level for s in self._residency.running)
        token_s = (self._token_s if ahead or rivals >= self._max_seqs else 0.0) or best_s
        told_s = 0.0 if came_back else self._bookings.seconds(served.level, late_s)
        work_s, first_token_s = tokens * token_s, (ahead + tokens) * token_s + told_s
        if now + first_token_s <= late_s:
            return served
        if served.downgrade_to is not None:
            return self._learned.known[served.downgrade_to]
        again_s = self._bookings.book(now, now + first_token_s - late_s, served.level, work_s, request.prompt)
        promise = f"class {served.name} promises it within {late_s - request.arrival_s:.1f} s"
        text = f"the first token would come {first_token_s:.1f} s from now, and {promise}"
        return Refused(request.id, now, Refusal.TOO_LATE, text, again_s)

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
            waiting, level = self._residency.waiting, self._learned.known[request.service_class].level
            place_s = self._token_s * sum(s.remaining for s in waiting) / max(len(waiting), 1)
            wait_s = (queued + choices - limits.max_queued) * place_s
            again_s = self._bookings.book(now, wait_s, level, choices * place_s, request.prompt)
            return Refused(request.id, now, Refusal.OVERLOADED, text, again_s)
        return None

    @property
    def _token_s(self) -> float:
        """Of a prompt, at the rate of late; 0 where nothing was seen yet."""
        return self._seconds / max(self._tokens, least_tokens)

    def _tokens_ahead(self, level: int, now: float, late_s: float) -> int:
        """Of prompts ahead of a newcomer: its seniors', and equals' due before it that are not late."""
        prompts = [s for s in (*self._residency.running, *self._residency.waiting) if s.remaining > 1]
        dues = ((s, first_due_s(s.targets, s.request.arrival_s, 0.0)) for s in prompts if s.level <= level)
        return sum(s.remaining - s.hits for s, due_s in dues if s.level < level or now < due_s <= late_s)
