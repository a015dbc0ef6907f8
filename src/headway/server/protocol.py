"""uvicorn's HTTP/1.1 connection with limits on the time that a client may take, and errors in our shape.

Owns what happens while a request is not whole and after a reader has stopped reading. The rest is
uvicorn's.
"""

import asyncio
import json
import sys

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from headway.server.errors import ApiError

head_bytes = 32 << 10  # of a request's line and headers together


def limited_protocol(read_s: float, send_s: float) -> type[H11Protocol]:
    """A protocol class with these limits: uvicorn wants a class, and makes one object for each connection."""

    class Limited(LimitedProtocol):
        read_timeout_s, send_timeout_s = read_s, send_s

    return Limited


class LimitedProtocol(H11Protocol):
    read_timeout_s: float  # from a connection, or a head's first byte, to its last
    send_timeout_s: float  # how long a reader may leave the write buffer full

    _head_timer: asyncio.TimerHandle | None = None
    _stall_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._await_head()
        else:
            self._stop_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        self._stop_stall_timer()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall_timer = self.loop.call_later(self.send_timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        self._stop_stall_timer()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """uvicorn calls this while it handles what h11 found wrong."""
        error = sys.exception()
        if isinstance(error, h11.RemoteProtocolError) and error.error_status_hint == 431:
            self._refuse(431, f"the headers are over {head_bytes:,} bytes")
        else:
            self._refuse(400, "this is not HTTP/1.1")

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.read_timeout_s, self._head_is_late)

    def _head_is_late(self) -> None:
        self._refuse(408, f"the request's head did not come within {self.read_timeout_s:g} s")

    def _refuse(self, status: int, words: str) -> None:
        """Answer if no answer has begun, and hang up."""
        if not self.transport.is_closing() and self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            if self.cycle is not None:  # a route may be reading the body; its own answer comes too late
                self.cycle.disconnected = True
                self.cycle.message_event.set()
            body = json.dumps(ApiError(status, words).body()).encode()
            headers = [
                (b"content-type", b"application/json"),
                (b"content-length", b"%d" % len(body)),
                (b"connection", b"close"),
            ]
            head = h11.Response(status_code=status, headers=headers)
            for event in (head, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None
