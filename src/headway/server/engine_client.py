"""The API process's end of the bridge: requests out, each request's events back, and how the engine is.

Owns who hears which event and when the engine counts as ready, hung or dead. Knows token ids only. Lives on
one event loop.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum

from headway.core.slo import ServiceClass
from headway.core.types import Cancel, Event, Finished, Refused, Request, Retuned, Stepped
from headway.metrics.ledger import Ledger
from headway.server.listening import Aborted, EngineGone, Listening
from headway.server.record import Recorder
from headway.server.wire import (
    BadFrame,
    Change,
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
_read_bytes = 1 << 18


class EngineState(StrEnum):
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"  # open requests go on, new ones are not taken
    HUNG = "hung"  # it is there and says nothing, or its step does not end
    DEAD = "dead"


class EngineClient:
    """`ledger` hears of every request and event first, `record` of requests and their ends; `told` hears each
    phase of loading.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        step_limit_s: float,
        told: Callable[[str, float], None] = lambda phase, seconds: None,
        record: Recorder | None = None,
    ) -> None:
        """`step_limit_s`: an executor that takes longer for a batch counts as hung."""
        self.facts: Facts | None = None
        self.failure: str | None = None  # what the engine said before it ended
        self.drained = False  # nothing new is taken, until that is taken back
        self.ending = False  # nor will it ever be again
        self.gone = asyncio.Event()
        self.ready = asyncio.Event()  # set also when it will never be
        self._told = told
        self._ledger = ledger
        self._record = record
        self._step_limit_s = step_limit_s
        self._closed_for: str | None = None  # why nothing is handed in any more
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._heard_s = self._moved_s = time.monotonic()  # any word; a step's end, or nothing to step through
        self._listening: dict[int, Listening] = {}
        self._changes: dict[int, asyncio.Future[float]] = {}
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
        return EngineState.DRAINING if self.drained or self.ending else EngineState.READY

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
        listening = Listening(requests, self.cancel, self.forget)
        for request in requests:
            frame = request_frame(request)
            self._ledger.opened(request)
            if self._record is not None:
                self._record.opened(request)
            self._listening[request.id] = listening
            self._send(frame)
        return listening

    def cancel(self, cancel: Cancel) -> None:
        """Crossing the request's own end is no error."""
        self._send(to_frame(Withdraw(cancel)))

    def abort(self, listening: Listening) -> bool:
        """End by an operator's word what is open of it; who listens hears Aborted. False: nothing is open."""
        open_ids = listening.open_ids
        for request_id in open_ids:
            self._ledger.aborted(request_id)
            self.cancel(Cancel(request_id))
        if open_ids:
            listening.break_off(Aborted())
        return bool(open_ids)

    def retune(self, classes: Iterable[ServiceClass], policy: str | None) -> "asyncio.Future[float]":
        """Hand a change in, behind all that was handed in before. Gives the moment from which it holds.

        Raises EngineGone, now or when it is awaited.
        """
        if self._closed_for is not None:
            raise EngineGone(self._closed_for)
        change = Change(self.new_id(), tuple(classes), policy)
        applied = self._changes[change.id] = asyncio.get_running_loop().create_future()
        self._send(to_frame(change))
        return applied

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
        self.drained = True

    def undrain(self) -> None:
        self.drained = False

    def drain_for_good(self) -> None:
        self.ending = True

    def abandon(self, why: str) -> None:
        """Every listener hears EngineGone, and so does who comes later."""
        self._closed_for = self._closed_for or why
        for listening in set(self._listening.values()):
            listening.break_off(EngineGone(why))
        for applied in self._changes.values():
            if not applied.done():
                applied.set_exception(EngineGone(why))
                applied.exception()  # it counts as seen: perhaps nobody waits any more
        self._changes.clear()

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
            if self._record is not None and isinstance(event, Finished | Refused):
                self._record.ended(event)
            if isinstance(event, Retuned):
                self._took(event)
            elif not isinstance(event, Stepped) and event.request_id in self._listening:
                self._listening[event.request_id].hear(event)

    def _took(self, event: Retuned) -> None:
        applied = self._changes.pop(event.id)
        if not applied.done():
            applied.set_result(event.at_s)
