"""The API process's end of the bridge: requests out, each request's events back, and how the engine is.

Owns who hears which event and when the engine counts as ready, hung or dead. Knows token ids only. Lives on
one event loop.
"""

import asyncio
import hmac
import logging
import socket
import time
from collections.abc import Callable, Sequence
from enum import StrEnum

from headway.core.types import Cancel, Event, Finished, Reason, Refused, Request, Stepped
from headway.metrics.ledger import Ledger
from headway.server.wire import (
    BadFrame,
    Events,
    Facts,
    Failed,
    Frame,
    Hello,
    Phase,
    Report,
    Splitter,
    Withdraw,
    frame_bytes,
    read_report,
    request_frame,
    to_frame,
)

log = logging.getLogger("headway.bridge")

hung_after_s = 1.5  # seven heartbeats that did not come
hello_timeout_s, hello_bytes = 5.0, 1 << 10  # what a caller gets before it has shown who it is
unread_events = 1 << 16  # held for one listener; beyond it its requests are cancelled
_read_bytes = 1 << 18


class EngineState(StrEnum):
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"  # open requests go on, new ones are not taken
    HUNG = "hung"  # it is there and says nothing
    DEAD = "dead"


class EngineGone(Exception):
    """The engine ended, or was told to; what it held is lost. The message is for the caller."""


class TooSlow(Exception):
    """A listener left too many events unread; its requests are cancelled."""


class Listening:
    """The events of one or several requests, in order, as lists of all that came since the last look.

    Close it when nobody listens any more: what is still open is cancelled.
    """

    def __init__(self, client: "EngineClient", requests: Sequence[Request]) -> None:
        self._client = client
        self._open = {request.id: request.choices for request in requests}
        self._events: list[Event] = []
        self._changed = asyncio.Event()
        self._broken: Exception | None = None

    @property
    def ended(self) -> bool:
        """Every choice has had its end; it may not have been read yet."""
        return not self._open

    def hear(self, event: Event) -> None:
        assert not isinstance(event, Stepped)
        if isinstance(event, Finished | Refused):
            self._count_end(event)
        if self._broken is None:
            self._events.append(event)
            if len(self._events) > unread_events:
                self._broken = TooSlow(f"{unread_events:,} events were left unread")
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
        events, self._events = self._events, []
        return events

    def cancel(self, request_id: int, choice: int, reason: Reason, keep: int | None) -> None:
        """End one choice; its Finished will still come."""
        if request_id in self._open:
            self._client.cancel(Cancel(request_id, choice, reason, keep))

    def close(self) -> None:
        for request_id in self._open:
            self._client.cancel(Cancel(request_id))


class EngineClient:
    """`ledger` hears of every request and event first; `told` hears each phase of loading."""

    def __init__(
        self,
        secret: bytes,
        ledger: Ledger,
        *,
        told: Callable[[str, float], None] = lambda phase, seconds: None,
    ) -> None:
        self.facts: Facts | None = None
        self.failure: str | None = None  # what the engine said before it ended
        self.gone = asyncio.Event()
        self.ready = asyncio.Event()  # set also when it will never be
        self._secret = secret
        self._told = told
        self._ledger = ledger
        self._draining = False
        self._writer: asyncio.StreamWriter | None = None
        self._hung_up = asyncio.Event()  # the reader of `_writer`'s other half has ended
        self._server: asyncio.Server | None = None
        self._heard_s = time.monotonic()
        self._listening: dict[int, Listening] = {}
        self._next_id = 0

    # ---- how it is

    @property
    def state(self) -> EngineState:
        if self.gone.is_set():
            return EngineState.DEAD
        if self.facts is None:
            return EngineState.STARTING
        if self.silence_s > hung_after_s:
            return EngineState.HUNG
        return EngineState.DRAINING if self._draining else EngineState.READY

    @property
    def silence_s(self) -> float:
        """Since the engine last said anything."""
        return time.monotonic() - self._heard_s

    @property
    def open_requests(self) -> int:
        return len(self._listening)

    # ---- requests

    def new_id(self) -> int:
        self._next_id += 1
        return self._next_id

    def submit(self, requests: Sequence[Request]) -> Listening:
        """Hand requests in; each is answered by Accepted or Refused first. Raises EngineGone."""
        if self._writer is None or self.state in (EngineState.DEAD, EngineState.STARTING):
            raise EngineGone("the engine is not running")
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

    async def listen(self, listener: socket.socket) -> None:
        """Let the engine call at `listener`; anyone else who calls is hung up on."""
        self._server = await asyncio.start_unix_server(self._answer, sock=listener)

    def drain(self) -> None:
        self._draining = True

    def abandon(self, why: str) -> None:
        """Every listener hears EngineGone."""
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
        """Hang up: the engine ends."""
        if self._server is not None:
            self._server.close()
        self.lost("the server is shutting down")
        if self._writer is not None:
            self._writer.close()
            await self._hung_up.wait()  # a reader that is cancelled with the loop is logged as an error

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        splitter = Splitter(hello_bytes)
        try:
            first, reports = await self._hello(reader, splitter)
        except (BadFrame, TimeoutError, OSError) as error:
            log.warning("a caller on the engine's socket was refused: %s", error or type(error).__name__)
            writer.close()
            return
        if not hmac.compare_digest(first.secret, self._secret) or self._writer is not None:
            log.warning("a caller on the engine's socket was refused: it is not the engine")
            writer.close()
            return
        self._writer, splitter.limit = writer, frame_bytes
        why = "the bridge to the engine broke"
        try:
            await self._read(reader, splitter, reports)
            why = "the engine ended"
        except (BadFrame, OSError) as error:
            log.error("%s: %s", why, error)
        finally:
            writer.close()
            self.lost(why)
        self._hung_up.set()

    async def _hello(self, reader: asyncio.StreamReader, splitter: Splitter) -> tuple[Hello, list[Report]]:
        async with asyncio.timeout(hello_timeout_s):
            bodies: list[bytes] = []
            while not bodies:
                data = await reader.read(4096)
                if not data:
                    raise BadFrame("it hung up")
                bodies = splitter.push(data)
        first, *rest = map(read_report, bodies)
        if not isinstance(first, Hello):
            raise BadFrame("it did not say hello")
        return first, rest

    async def _read(
        self, reader: asyncio.StreamReader, splitter: Splitter, reports: Sequence[Report]
    ) -> None:
        while True:
            for report in reports:
                self._take(report)
            data = await reader.read(_read_bytes)
            if not data:
                return
            self._heard_s = time.monotonic()
            reports = [read_report(body) for body in splitter.push(data)]

    def _take(self, report: Report) -> None:
        match report:
            case Events():
                self._hand_out(list(report.in_order()))
            case Facts():
                self.facts = report
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
