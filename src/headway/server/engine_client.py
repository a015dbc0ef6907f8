"""The API process's end of the bridge: requests out, each request's events back, and how the engine is.

Owns who hears which event and when the engine counts as ready, hung or dead. Knows token ids only. Lives on
one event loop.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Sequence
from enum import StrEnum

from headway.core.types import (
    Cancel,
    Event,
    Finished,
    Logprob,
    PromptScored,
    Reason,
    Refused,
    Request,
    Stepped,
    Token,
)
from headway.metrics.ledger import Ledger
from headway.server.wire import (
    BadFrame,
    Events,
    Facts,
    Failed,
    Frame,
    Heartbeat,
    Phase,
    Report,
    Splitter,
    Withdraw,
    read_report,
    request_frame,
    to_frame,
)

log = logging.getLogger("headway.bridge")

hung_after_s = 1.5  # seven heartbeats that did not come
unread_bytes = 64 << 20  # held for one listener, about; beyond it its requests are cancelled
_event_bytes, _score_bytes = 200, 100  # what one takes in memory
_read_bytes = 1 << 18


class EngineState(StrEnum):
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"  # open requests go on, new ones are not taken
    HUNG = "hung"  # it is there and says nothing, or its step does not end
    DEAD = "dead"


class EngineGone(Exception):
    """The engine ended, or was told to; what it held is lost. The message is for the caller."""


class TooSlow(Exception):
    """A listener left too much unread; its requests are cancelled."""


class Listening:
    """The events of one or several requests, in order, as lists of all that came since the last look.

    Close it when nobody listens any more: what is still open is cancelled.
    """

    def __init__(self, client: "EngineClient", requests: Sequence[Request]) -> None:
        self._client = client
        self._open = {request.id: request.choices for request in requests}
        self._events: list[Event] = []
        self._unread_bytes = 0
        self._changed = asyncio.Event()
        self._broken: Exception | None = None

    def hear(self, event: Event) -> None:
        assert not isinstance(event, Stepped)
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
            self._client.forget(event.request_id)

    def break_off(self, error: Exception) -> None:
        """The events so far can still be read; then the error comes."""
        for request_id in self._open:
            self._client.forget(request_id)
        self._open.clear()
        self._broken = self._broken or error
        self._changed.set()

    async def next(self) -> list[Event]:
        """At least one event. Not to be called after the last. Raises EngineGone and TooSlow."""
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
            self._client.cancel(Cancel(request_id, choice, reason, keep))

    def close(self) -> None:
        for request_id in self._open:
            self._client.cancel(Cancel(request_id))


def _held_bytes(event: Event) -> int:
    scored: tuple[Logprob, ...] = ()
    if isinstance(event, Token) and event.logprob is not None:
        scored = (event.logprob,)
    elif isinstance(event, PromptScored):
        scored = event.logprobs
    return _event_bytes + _score_bytes * sum(1 + len(one.top) for one in scored)


class EngineClient:
    """`ledger` hears of every request and event first; `told` hears each phase of loading."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        step_limit_s: float,
        told: Callable[[str, float], None] = lambda phase, seconds: None,
    ) -> None:
        """`step_limit_s`: an executor that takes longer for a batch counts as hung."""
        self.facts: Facts | None = None
        self.failure: str | None = None  # what the engine said before it ended
        self.gone = asyncio.Event()
        self.ready = asyncio.Event()  # set also when it will never be
        self._told = told
        self._ledger = ledger
        self._step_limit_s = step_limit_s
        self._draining = False
        self._closed_for: str | None = None  # why nothing is handed in any more
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._heard_s = self._moved_s = time.monotonic()  # any word; a step's end, or nothing to step through
        self._listening: dict[int, Listening] = {}
        self._next_id = 0

    # ---- how it is

    @property
    def state(self) -> EngineState:
        if self.gone.is_set():
            return EngineState.DEAD
        if self.facts is None:
            return EngineState.STARTING
        if self._hang() is not None:
            return EngineState.HUNG
        return EngineState.DRAINING if self._draining else EngineState.READY

    @property
    def trouble(self) -> str | None:
        """What is wrong with it, for people; also None where it ended without a word."""
        return self.failure if self.gone.is_set() or self.facts is None else self._hang()

    def _hang(self) -> str | None:
        now_s = time.monotonic()
        silent_s, step_s = now_s - self._heard_s, now_s - self._moved_s
        if silent_s > hung_after_s:
            return f"the engine has said nothing for {silent_s:.0f} s"
        if step_s > self._step_limit_s:
            return f"a step has been running for {step_s:.0f} s"
        return None

    # ---- requests

    def new_id(self) -> int:
        self._next_id += 1
        return self._next_id

    def submit(self, requests: Sequence[Request]) -> Listening:
        """Hand requests in; each is answered by Accepted or Refused first. Raises EngineGone."""
        if self._closed_for is not None:
            raise EngineGone(self._closed_for)
        assert self.facts is not None, "nothing is asked of an engine that has not loaded"
        listening = Listening(self, requests)
        for request in requests:
            frame = request_frame(request)
            self._ledger.opened(request)
            self._listening[request.id] = listening
            self._send(frame)
        return listening

    def cancel(self, cancel: Cancel) -> None:
        """Crossing the request's own end is no error."""
        self._send(to_frame(Withdraw(cancel)))

    def forget(self, request_id: int) -> None:
        self._listening.pop(request_id, None)

    def _send(self, frame: Frame) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(frame)

    # ---- life

    async def connect(self, connection: socket.socket) -> None:
        """Hear the engine at the other end of it from now on."""
        reader, self._writer = await asyncio.open_unix_connection(sock=connection)
        self._reading = asyncio.create_task(self._hear(reader, self._writer))

    def drain(self) -> None:
        self._draining = True

    def abandon(self, why: str) -> None:
        """Every listener hears EngineGone, and so does who comes later."""
        self._closed_for = self._closed_for or why
        for listening in set(self._listening.values()):
            listening.break_off(EngineGone(why))

    def lost(self, why: str) -> None:
        """The engine has ended. May be said more than once."""
        if self.gone.is_set():
            return
        self.gone.set()
        self.ready.set()
        self.abandon(self.failure or why)

    async def close(self) -> None:
        """Hang up: the engine ends. What it has not taken by now is dropped: it may never take it."""
        self.lost("the server is shutting down")
        if self._writer is not None and self._reading is not None:
            self._writer.transport.abort()
            await self._reading

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        why = "the bridge to the engine broke"
        try:
            await self._read(reader)
            why = "the engine ended"
        except (BadFrame, OSError) as error:
            log.error("%s: %s", why, error)
        except Exception:
            log.exception("%s by a mistake of ours", why)
        finally:
            writer.transport.abort()
            self.lost(why)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        splitter = Splitter()
        while data := await reader.read(_read_bytes):
            self._heard_s = time.monotonic()
            for body in splitter.push(data):
                self._take(read_report(body))

    def _take(self, report: Report) -> None:
        match report:
            case Events():
                if report.stepped:
                    self._moved_s = self._heard_s
                self._hand_out(list(report.in_order()))
            case Heartbeat(in_flight, standing):
                if not in_flight:
                    self._moved_s = self._heard_s
                self._ledger.stands(standing)
            case Facts():
                self.facts = report
                self._moved_s = self._heard_s
                self.ready.set()
            case Phase(name, seconds):
                self._told(name, seconds)
            case Failed(message):
                self.failure = message

    def _hand_out(self, events: Sequence[Event]) -> None:
        self._ledger.add(events)
        for event in events:
            if not isinstance(event, Stepped) and event.request_id in self._listening:
                self._listening[event.request_id].hear(event)
