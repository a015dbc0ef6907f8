"""Who is let in: what could never run is refused, and where a class asks for it, what would come too late.

Owns the verdict and the numbers in it, the rate at which prompts have lately been taken in, and who was told
to come again.
"""

from collections import deque
from collections.abc import Iterable
from itertools import takewhile
from math import ceil

from headway.core.limits import Limits
from headway.core.memory import MemoryRule
from headway.core.sequence import Sequence
from headway.core.slo import ServiceClass
from headway.core.types import Refusal, Refused, Request

backlog_memory_s = 4.0  # how far back the rate of prompts looks, in seconds with a backlog
booked_share = 0.8  # of the machine's time, for those who were told when to come again
most_booked = 4096
patience_s = 2.0  # so much later than it was told to one is still expected
learned_of_each = 0.05


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


class Bookings:
    """Whom a refusal told when to come again: at that time their work keeps newcomers out, so that they find
    room. How many do come is learned: those who never return keep nobody out for long.
    """

    def __init__(self) -> None:
        self._due: deque[tuple[float, int, float]] = deque(maxlen=most_booked)  # when, level, seconds of work
        self._free_s = 0.0  # from here on nothing is booked
        self._returning = 1.0  # share of those booked

    def book(self, earliest_s: float, level: int, work_s: float) -> float:
        """When to come again."""
        at_s = max(earliest_s, self._free_s)
        self._free_s = at_s + self._returning * work_s / booked_share
        self._due.append((at_s, level, work_s))
        return at_s

    def take_up(self) -> None:
        """One has come again."""
        self._returning += learned_of_each * (1.0 - self._returning)
        if self._due:
            self._due.popleft()

    def seconds(self, level: int, now: float, until_s: float) -> float:
        """Of work that is expected by then, and senior to a newcomer of this level or its equal."""
        while self._due and self._due[0][0] < now - patience_s:
            self._due.popleft()
            self._returning -= learned_of_each * self._returning
        near = takewhile(lambda booked: booked[0] <= until_s, self._due)
        return self._returning * sum(work_s for _, booked_level, work_s in near if booked_level <= level)


class Admission:
    """How fast prompts have been taken in while some waited: seconds a token, whatever kept them waiting; and
    what follows from it for a newcomer."""

    def __init__(self) -> None:
        self._seconds = self._tokens = 0.0
        self._bookings = Bookings()

    def observe(self, step_s: float, prompt_tokens: int) -> None:
        """A step while some waited; tokens found in the prefix index are taken in, too."""
        keep = max(0.0, 1.0 - step_s / backlog_memory_s)
        self._seconds = self._seconds * keep + step_s
        self._tokens = self._tokens * keep + prompt_tokens

    def too_late(
        self, request: Request, served: ServiceClass, tokens_ahead: int, guess_s: float, now: float
    ) -> Refused | None:
        """The refusal of a request whose first token would be late. `guess_s`: of a prompt token, where
        nothing was seen yet."""
        target_s = served.targets.loosened(request.loosened).ttft_s
        if target_s is None:
            return None
        token_s = self._seconds / self._tokens if self._tokens else guess_s
        work_s = token_s * len(request.prompt)
        first_token_s = token_s * tokens_ahead + work_s
        late_s = request.arrival_s + target_s
        if request.retries:
            self._bookings.take_up()
        else:
            first_token_s += self._bookings.seconds(served.level, now, late_s)
        if now + first_token_s <= late_s:
            return None
        text = (
            f"the first token would come {first_token_s:.1f} s from now, and class {served.name} promises it "
            f"within {target_s:.1f} s"
        )
        again_s = self._bookings.book(now + first_token_s - target_s, served.level, work_s)
        return Refused(request.id, now, Refusal.TOO_LATE, text, float(ceil(max(again_s - now, 1e-3))))


def prompt_tokens_ahead(level: int, waiting: Iterable[Sequence], running: Iterable[Sequence]) -> int:
    """Prompt tokens that are computed before those of a newcomer of this level."""
    ahead = sum(s.known for s in waiting if s.level <= level)
    return ahead + sum(s.remaining for s in running if s.level <= level and s.remaining > 1)
