"""What a request gave, and how it is put together from the engine's events.

Owns the sum. The way from tokens to text, stop strings included, is the server's own (`server/choice.py`).
"""

from dataclasses import dataclass
from typing import NamedTuple

from headway.core.types import Cancel, Finished, Logprob, PromptScored, Reason, Request, Token
from headway.server.choice import Choice
from headway.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Usage:
    prompt_tokens: int
    cached_tokens: int  # of the prompt, taken from earlier requests
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Timings:
    """Where a request's time went; the shares add up to the total (docs/definitions.md says what each is)."""

    queue_s: float
    prefill_s: float
    interference_s: float
    decode_s: float
    preemption_s: float
    host_s: float
    total_s: float


@dataclass(frozen=True, slots=True)
class Output:
    """One finished continuation."""

    text: str
    token_ids: tuple[int, ...]
    reason: Reason
    usage: Usage
    timings: Timings
    logprobs: tuple[Logprob, ...] = ()  # where asked for; one per token, but for those of a stop string
    prompt_logprobs: tuple[Logprob, ...] = ()  # of the prompt's second token and on, where asked for
    detail: str = ""  # with Reason.ERROR: what happened


class Piece(NamedTuple):
    """What a step added. The last piece of a stream carries the whole."""

    text: str
    token_ids: tuple[int, ...]
    output: Output | None = None


class Assembly:
    """Adds one request's events up."""

    def __init__(self, request: Request, tokenizer: Tokenizer) -> None:
        self.request_id = request.id
        self._choice = Choice(request, 0, 0, tokenizer)
        self._text = ""
        self._token_ids: list[int] = []
        self._logprobs: list[Logprob] = []
        self._prompt_logprobs: list[Logprob] = []

    def add(self, event: Token | PromptScored | Finished) -> Cancel | None:
        """What the engine must be told: it goes on where a stop string has ended the text."""
        match event:
            case PromptScored():
                self._prompt_logprobs += event.logprobs
            case Finished():
                self._choice.finish(event)
            case Token():
                if self._choice.push(event):
                    return Cancel(self.request_id, 0, Reason.STOP, self._choice.stopped_at)
        return None

    def take(self) -> Piece | None:
        """What is new, if anything is."""
        delta = self._choice.take()
        if delta is None:
            return None
        self._text += delta.text
        self._token_ids += delta.tokens
        self._logprobs += delta.logprobs
        output = None if delta.reason is None else self._output(delta.reason)
        return Piece(delta.text, delta.tokens, output)

    def _output(self, reason: Reason) -> Output:
        end, count = self._choice.finished, self._choice.output_tokens
        assert end is not None, "a reason comes with the end"
        return Output(
            text=self._text,
            token_ids=tuple(self._token_ids[:count]),
            reason=reason,
            usage=Usage(end.prompt_tokens, end.cached_tokens, count),
            timings=_timings(end),
            logprobs=tuple(self._logprobs),
            prompt_logprobs=tuple(self._prompt_logprobs),
            detail=end.detail,
        )


def _timings(end: Finished) -> Timings:
    return Timings(*(ns / 1e9 for ns in (*end.spent_ns, sum(end.spent_ns))))
