"""One body's answers while they are made: who is told no, what is new, and when all is said.

Owns the conversation with the engine, usage and times. Text is made in `choice.py`; JSON elsewhere.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from math import nan

from headway.core.types import (
    Accepted,
    Event,
    Finished,
    Logprob,
    PromptScored,
    Reason,
    Refusal,
    Refused,
    Request,
    Shares,
    Stepped,
    Token,
)
from headway.server.choice import Choice, Delta
from headway.server.door import Asked
from headway.server.errors import ApiError
from headway.server.listening import Aborted, EngineGone, Listening, TooSlow
from headway.server.open_exchanges import OpenExchange
from headway.text.tokenizer import Tokenizer

log = logging.getLogger("headway.server")


@dataclass(frozen=True, slots=True)
class Usage:
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int


class Generation:
    """Start it, read its deltas to the end, and close it, whatever happens."""

    def __init__(self, exchange: OpenExchange, asked: Asked, tokenizer: Tokenizer) -> None:
        self.asked = asked
        self._prompt_logprobs = {request.id: _unscored(request) for request in asked.requests}
        self.choices = [
            Choice(request, number, i * asked.choices + number, tokenizer)
            for i, request in enumerate(asked.requests)
            for number in range(asked.choices)
        ]
        ids = [request.id for request in asked.requests]
        self._by_key = {(ids[c.index // asked.choices], c.number): c for c in self.choices}
        self._exchange = exchange
        self._listening: Listening | None = None
        self._undecided = {request.id for request in asked.requests}
        self._served: dict[str, None] = {}  # in order, each once

    async def start(self) -> None:
        """Hand it in and wait for the engine's verdict. Raises ApiError 400, 429 or 503."""
        try:
            self._listening = self._exchange.submit(self.asked.requests)
            while self._undecided:
                self._take(await self._listening.next())
        except (EngineGone, TooSlow, Aborted) as error:
            raise _broken(error) from None

    async def deltas(self, patience_s: float) -> AsyncIterator[list[Delta]]:
        """All that is new, each time something is; an empty list where nothing was for `patience_s`.

        Raises ApiError if any choice fails.
        """
        assert self._listening is not None, "start comes first"
        while True:
            news = [delta for choice in self.choices if (delta := choice.take()) is not None]
            if news:
                yield news
            if all(choice.ended for choice in self.choices):
                return
            try:
                async with asyncio.timeout(patience_s):
                    events = await self._listening.next()
            except TimeoutError:
                yield []
                continue
            except (EngineGone, TooSlow, Aborted) as error:
                raise _broken(error) from None
            self._take(events)

    def close(self) -> None:
        """What still runs is cancelled."""
        if self._listening is not None:
            self._listening.close()

    def _take(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case Accepted():
                    self._undecided.discard(event.request_id)
                    self._served[event.service_class] = None
                case Refused():
                    raise _refused(event)
                case PromptScored():
                    if event.choice == 0:  # the same for every choice
                        self._prompt_logprobs[event.request_id] += event.logprobs
                case Token():
                    self._push(event)
                case Finished():
                    self._finish(event)
                case Stepped():
                    raise AssertionError("frames are not a request's")

    def _push(self, event: Token) -> None:
        choice = self._by_key[event.request_id, event.choice]
        if self.asked.prompts and not choice.begun:
            prompt = choice.index // self.asked.choices
            choice.echo(self.asked.prompts[prompt], self._prompt_logprobs[event.request_id])
        if choice.push(event):
            assert self._listening is not None
            self._listening.cancel(event.request_id, event.choice, Reason.STOP, choice.stopped_at)

    def _finish(self, event: Finished) -> None:
        if event.reason is Reason.ERROR:
            log.error("request %d failed in the engine: %s", event.request_id, event.detail)
            raise ApiError(500, "the engine failed this request; the server's log says more")
        if event.reason is Reason.EXPIRED:
            raise ApiError(504, "the request waited for as long as its class allows", code="expired")
        if event.reason is Reason.CANCELLED:
            raise ApiError(503, "the request was cancelled", retry_after_s=1.0)
        self._by_key[event.request_id, event.choice].finish(event)

    @property
    def served(self) -> tuple[str, ...]:
        """As which classes, once it has started: under overload not only the one asked for."""
        return tuple(self._served)

    @property
    def usage(self) -> Usage:
        """So far. A prompt counts once, however many choices it has."""
        cached = [c.finished.cached_tokens for c in self.choices if c.number == 0 and c.finished is not None]
        prompts = sum(len(request.prompt) for request in self.asked.requests)
        return Usage(prompts, sum(c.output_tokens for c in self.choices), sum(cached))

    @property
    def timings(self) -> Shares:
        """Of the choice that ended last."""
        ends = [c.finished for c in self.choices if c.finished is not None]
        return max(ends, key=lambda end: end.at_s).spent_ns


def _unscored(request: Request) -> list[Logprob]:
    """A prompt's first token, where its tokens are scored: nothing comes before it."""
    return [] if request.sampling.prompt_logprobs is None else [Logprob(request.prompt[0], nan, ())]


def _broken(error: EngineGone | TooSlow | Aborted) -> ApiError:
    match error:
        case EngineGone():
            return ApiError(503, str(error), code="engine_gone", retry_after_s=5.0)
        case TooSlow():  # a stream's reader may be at fault; where the answer is given whole, only we can be
            return ApiError(503, str(error), code="too_slow", retry_after_s=1.0)
        case Aborted():
            return ApiError(503, "an operator ended this request", code="aborted", is_final=True)


def _refused(event: Refused) -> ApiError:
    match event.reason:
        case Refusal.OVERLOADED | Refusal.TOO_LATE:
            wait_s = event.retry_after_s or 1.0
            return ApiError(429, event.message, code="overloaded", retry_after_s=wait_s)
        case Refusal.CLOSING:
            return ApiError(503, event.message, code="closing", retry_after_s=5.0)
        case Refusal.TOO_LONG | Refusal.NEVER_FITS:
            return ApiError(400, event.message, param="max_tokens", code="context_length_exceeded")
