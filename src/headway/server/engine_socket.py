"""The engine's end of the bridge: an inbox and a sink over one socket.

Owns waiting, and that nothing here ever blocks on the other side: what it does not read is held up to a
limit, then the bridge counts as broken and the inbox says closed. Used by the engine's thread; `wake` by any.
"""

import logging
import os
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from math import inf

from headway.core.types import Event, Letter, PromptScored
from headway.server.wire import (
    BadFrame,
    Frame,
    Heartbeat,
    Report,
    Splitter,
    events_frame,
    frame_bytes,
    heartbeat_s,
    read_letter,
    to_frame,
)

log = logging.getLogger("headway.bridge")

unread_bytes = 4 * frame_bytes  # held for an API process that does not read; beyond it the engine ends
most_taken = 32  # letters between two looks at what the executor has done: a flood holds no stream up
_read_bytes = 1 << 18

Pulse = Callable[[], Heartbeat]


class Bridge:
    """A connected socket that sends without waiting and reads what is there."""

    def __init__(self, connection: socket.socket, unread_limit: int = unread_bytes) -> None:
        connection.setblocking(False)
        self.connection = connection
        self.open = True
        self._unread_limit = unread_limit
        self._outgoing: deque[memoryview] = deque()
        self._outgoing_bytes = 0
        self._splitter = Splitter()

    @property
    def has_unsent(self) -> bool:
        return bool(self._outgoing)

    def send(self, frame: Frame) -> None:
        if not self.open:
            return
        self._outgoing.append(memoryview(frame))
        self._outgoing_bytes += len(frame)
        self.flush()
        if self._outgoing_bytes > self._unread_limit:
            self.close(f"the API process left {self._outgoing_bytes:,} bytes unread")

    def flush(self) -> None:
        """Send what the socket takes now."""
        while self._outgoing and self.open:
            try:
                sent = self.connection.send(self._outgoing[0])
            except (BlockingIOError, InterruptedError):
                return None
            except OSError as error:
                return self.close(f"the API process is gone: {error.strerror}")
            self._outgoing_bytes -= sent
            rest = self._outgoing.popleft()[sent:]
            if rest:
                self._outgoing.appendleft(rest)
        return None

    def receive(self) -> list[Letter]:
        """Every letter that has arrived whole."""
        letters: list[Letter] = []
        while self.open:
            try:
                data = self.connection.recv(_read_bytes)
                if not data:
                    self.close("the API process closed the bridge")
                letters += map(read_letter, self._splitter.push(data))
            except (BlockingIOError, InterruptedError):
                break
            except BadFrame as error:
                self.close(f"bad frame: {error}")
            except OSError as error:
                self.close(f"the API process is gone: {error.strerror}")
        return letters

    def close(self, why: str) -> None:
        if self.open:
            log.info("bridge closed: %s", why)
        self.open = False
        self._outgoing.clear()
        self.connection.close()


class SocketInbox:
    """Letters from the API process. Its heartbeat shows that the loop turns, and how the engine stands."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._pulse: Pulse | None = None
        self._next_beat_s = inf
        self._letters: deque[Letter] = deque()
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._waker, False)

    def beat_with(self, pulse: Pulse) -> None:
        """From now on there is an engine, whose thread may ask `pulse` at any moment between two turns."""
        self._pulse = pulse
        self._next_beat_s = time.monotonic()

    def wake(self) -> None:
        """Make `wait` return. From any thread, at any time."""
        try:
            os.write(self._waker, b"!")
        except BlockingIOError:
            return  # the pipe is full: it will wake

    def take(self, now: float) -> list[Letter]:
        self._letters += self._bridge.receive()
        letters = [self._letters.popleft() for _ in range(min(len(self._letters), most_taken))]
        self._beat()
        return letters

    def wait(self, until: float | None) -> bool:
        while self._bridge.open:
            if self._letters:
                return True
            wake_s = self._next_beat_s if until is None else min(until, self._next_beat_s)
            woken = self._select(None if wake_s == inf else max(0.0, wake_s - time.monotonic()))
            self._letters += self._bridge.receive()
            self._beat()
            if woken or (until is not None and time.monotonic() >= until):
                return True
        return bool(self._letters)

    def _select(self, timeout_s: float | None) -> bool:
        """Wait for something to happen. True: `wake` was called."""
        connection = self._bridge.connection
        unsent = [connection] if self._bridge.has_unsent else []
        watched: list[socket.socket | int] = [connection, self._woken]
        readable, writable, _ = select.select(watched, unsent, [], timeout_s)
        if writable:
            self._bridge.flush()
        if self._woken not in readable:
            return False
        os.read(self._woken, 1 << 16)
        return True

    def _beat(self) -> None:
        now_s = time.monotonic()
        if self._pulse is not None and now_s >= self._next_beat_s:
            self._next_beat_s = now_s + heartbeat_s
            self._bridge.send(to_frame(self._pulse()))


class SocketSink:
    """Events to the API process: one frame for each turn that gave some, more where it would be too large."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    def publish(self, now: float, events: Sequence[Event]) -> None:
        for frame in _frames(events):
            self._bridge.send(frame)

    def tell(self, report: Report) -> None:
        """Something about the engine itself rather than a request."""
        self._bridge.send(to_frame(report))


def _frames(events: Sequence[Event]) -> list[Frame]:
    """In the events' order. Scored prompts can make a turn's events larger than a frame may be."""
    try:
        return [events_frame(events)]
    except BadFrame:
        first, second = _halves(events)
        return _frames(first) + _frames(second)


def _halves(events: Sequence[Event]) -> tuple[Sequence[Event], Sequence[Event]]:
    if len(events) > 1:
        return events[: len(events) // 2], events[len(events) // 2 :]
    (scored,) = events
    assert isinstance(scored, PromptScored), "no other event is so large"
    half = len(scored.logprobs) // 2
    assert half, "one token's score is small"
    first, second = scored.logprobs[:half], scored.logprobs[half:]
    return [scored._replace(logprobs=first)], [scored._replace(logprobs=second)]
