"""What a request gave, and how it is put together from the engine's events.

Owns the way from token ids to text for one continuation. Finds stop strings; the cancel is the caller's.
"""

from dataclasses import dataclass
from typing import NamedTuple

from headway.core.types import Finished, Logprob, PromptScored, Reason, Sampling, Token
from headway.text.detokenizer import Detokenizer
from headway.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Usage:
    prompt_tokens: int
    cached_tokens: int  # of the prompt, taken from earlier requests
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Timings:
    """Where a request's time went; the three add up to the total."""

    queue_s: float
    prefill_s: float
    decode_s: float
    total_s: float


@dataclass(frozen=True, slots=True)
class Output:
    """One finished continuation."""

    text: str
    token_ids: tuple[int, ...]
    reason: Reason
    usage: Usage
    timings: Timings
    logprobs: tuple[Logprob, ...] = ()  # one per token, where asked for
    prompt_logprobs: tuple[Logprob, ...] = ()  # of the prompt's second token and on, where asked for
    detail: str = ""  # with Reason.ERROR: what happened


class Piece(NamedTuple):
    """What a step added. The last piece of a stream carries the whole."""

    text: str
    token_ids: tuple[int, ...]
    output: Output | None = None


class Assembly:
    """Adds one request's events up. `stop_at`: a stop string was found, and so many tokens count."""

    def __init__(self, sampling: Sampling, tokenizer: Tokenizer) -> None:
        self.stop_at: int | None = None
        self._sampling = sampling
        self._detokenizer = Detokenizer(tokenizer, sampling.stop_strings, min_tokens=sampling.min_tokens)
        self._texts: list[str] = []
        self._token_ids: list[int] = []
        self._logprobs: list[Logprob] = []
        self._prompt_logprobs: list[Logprob] = []

    def add(self, event: Token | PromptScored | Finished) -> Piece:
        if isinstance(event, Finished):
            return self._finish(event)
        if isinstance(event, PromptScored):
            self._prompt_logprobs += event.logprobs
            return Piece("", ())
        if self.stop_at is not None:  # made before the cancel arrived
            return Piece("", ())
        self._token_ids.append(event.token)
        if event.logprob is not None:
            self._logprobs.append(event.logprob)
        if event.token in self._sampling.stop_ids and len(self._token_ids) >= self._sampling.min_tokens:
            return Piece("", (event.token,))  # it ends the answer, and is no part of its text
        piece = self._detokenizer.push((event.token,))
        self._texts.append(piece.text)
        if piece.stopped_at is not None:
            self.stop_at = piece.stopped_at
        return Piece(piece.text, (event.token,))

    def _finish(self, event: Finished) -> Piece:
        rest = "" if self.stop_at is not None else self._detokenizer.flush()
        self._texts.append(rest)
        count = event.output_tokens if self.stop_at is None else self.stop_at
        output = Output(
            text="".join(self._texts),
            token_ids=tuple(self._token_ids[:count]),
            # the end by length may cross the cancel; the stop string came first all the same
            reason=event.reason if self.stop_at is None else Reason.STOP,
            usage=Usage(event.prompt_tokens, event.cached_tokens, count),
            timings=_timings(event),
            logprobs=tuple(self._logprobs[:count]),
            prompt_logprobs=tuple(self._prompt_logprobs),
            detail=event.detail,
        )
        return Piece(rest, (), output)


def _timings(event: Finished) -> Timings:
    queue, prefill, decode = event.queue_ns, event.prefill_ns, event.decode_ns
    return Timings(queue / 1e9, prefill / 1e9, decode / 1e9, (queue + prefill + decode) / 1e9)
