"""Who waits for events of requests: they are kept until they are read, up to a limit.

Owns that nothing comes after the last event, and that what nobody listens to any more is cancelled.
"""

import asyncio
from collections.abc import Callable, Sequence

from headway.core.types import (
    Cancel,
    Event,
    Finished,
    Logprob,
    PromptScored,
    Reason,
    Refused,
    Request,
    Retuned,
    Stepped,
    Token,
)

unread_bytes = 64 << 20  # held for one listener, about; beyond it its requests are cancelled
_event_bytes, _score_bytes = 200, 100  # what one takes in memory


class EngineGone(Exception):
    """The engine ended, or was told to; what it held is lost. The message is for the caller."""


class TooSlow(Exception):
    """A listener left too much unread; its requests are cancelled."""


class Aborted(Exception):
    """An operator ended the requests."""


class Listening:
    """The events of one or several requests, in order, as lists of all that came since the last look.

    Close it when nobody listens any more: what is still open is cancelled. `forget` hears which have ended.
    """

    def __init__(
        self, requests: Sequence[Request], cancel: Callable[[Cancel], None], forget: Callable[[int], None]
    ) -> None:
        self._cancel = cancel
        self._forget = forget
        self._open = {request.id: request.choices for request in requests}
        self.begun = False  # there was a token
        self._events: list[Event] = []
        self._unread_bytes = 0
        self._changed = asyncio.Event()
        self._broken: Exception | None = None

    def hear(self, event: Event) -> None:
        assert not isinstance(event, Stepped | Retuned)
        self.begun |= isinstance(event, Token)
        if isinstance(event, Finished | Refused):
            self._count_end(event)
        if self._broken is None:
            self._events.append(event)
            self._unread_bytes += _held_bytes(event)
            if self._unread_bytes > unread_bytes:
                self._broken = TooSlow("the answer was made faster than it could be taken")
                self.close()
        self._changed.set()

    def _count_end(self, event: Finished | Refused) -> None:
        left = 0 if isinstance(event, Refused) else self._open[event.request_id] - 1
        if left:
            self._open[event.request_id] = left
        else:
            del self._open[event.request_id]
            self._forget(event.request_id)

    @property
    def open_ids(self) -> tuple[int, ...]:
        """Of requests that have not ended, as far as is known."""
        return tuple(self._open)

    def break_off(self, error: Exception) -> None:
        """The events so far can still be read; then the error comes."""
        for request_id in self._open:
            self._forget(request_id)
        self._open.clear()
        self._broken = self._broken or error
        self._changed.set()

    async def next(self) -> list[Event]:
        """At least one event. Not to be called after the last. Raises EngineGone, TooSlow and Aborted."""
        while not self._events:
            if self._broken is not None:
                raise self._broken
            self._changed.clear()
            await self._changed.wait()
        events, self._events, self._unread_bytes = self._events, [], 0
        return events

    def cancel(self, request_id: int, choice: int, reason: Reason, keep: int | None) -> None:
        """End one choice; its Finished will still come."""
        if request_id in self._open:
            self._cancel(Cancel(request_id, choice, reason, keep))

    def close(self) -> None:
        for request_id in self._open:
            self._cancel(Cancel(request_id))


def _held_bytes(event: Event) -> int:
    scored: tuple[Logprob, ...] = ()
    if isinstance(event, Token) and event.logprob is not None:
        scored = (event.logprob,)
    elif isinstance(event, PromptScored):
        scored = event.logprobs
    return _event_bytes + _score_bytes * sum(1 + len(one.top) for one in scored)
