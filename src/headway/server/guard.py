"""What every request passes before a route sees it: an id, checks of head, host and key, a line in the log.

Owns decisions on the raw request. What is not expressly open needs a key; nothing of a key is ever logged.
"""

import asyncio
import logging
import re
import secrets
import time
from contextlib import suppress
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headway.server.body import has_body
from headway.server.errors import ApiError
from headway.server.keys import Keys
from headway.server.settings import ServerSettings
from headway.server.validation import clean

log = logging.getLogger("headway.access")

# Open to whoever reaches the port: load balancers and scrapers bring no key, and the page is static.
open_paths = (b"/", b"/health", b"/ready", b"/metrics")
most_headers = 100
shown_id_characters = 64
drained_bytes, drained_s = 1 << 20, 0.5  # of a body that nobody asked for
_mark = "headway.exchange"  # of a request: the ids that its exchange goes by
_loopback = ("127.0.0.1", "localhost", "::1")
_plain_path = re.compile(rb"/|(/[\w.~:@!$&'()*+,;=-]+)+")


class Guard:
    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self._app = app
        self._keys = Keys(settings)
        self._hosts = (settings.host, *_loopback) if settings.host in _loopback else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        exchange = Exchange(scope, receive, send)
        try:
            self._check(scope, Headers(scope=scope))
            marked = {**self._keys.marked(scope), _mark: exchange.ids}
            await self._app(marked, exchange.receive, exchange.send)
        except ApiError as error:
            await error.response()(scope, exchange.receive, exchange.send)
        except Exception:
            log.exception("%s: our mistake", exchange.id)
            if exchange.begun:
                raise  # the connection is closed in the middle of the answer
            ours = ApiError(500, f"internal error {exchange.id}; the server's log says more")
            await ours.response()(scope, exchange.receive, exchange.send)
        finally:
            exchange.log()
        return None

    def _check(self, scope: Scope, headers: Headers) -> None:
        if len(headers) > most_headers:
            raise ApiError(431, f"{len(headers)} headers are over the limit of {most_headers}")
        self._check_host(headers)
        path: bytes = scope["raw_path"]
        if path not in open_paths:
            self._keys.check(headers)
        if not _is_plain(path):
            raise ApiError(404, "no such path", code="no_route")

    def _check_host(self, headers: Headers) -> None:
        """A page from elsewhere must not talk to a server on this machine by a name that leads here."""
        hosts = headers.getlist("host")
        host = hosts[0] if len(hosts) == 1 else ""
        if len(hosts) > 1 or (self._hosts is not None and _split(f"//{host}").hostname not in self._hosts):
            raise ApiError(400, "this server does not go by that host name", code="foreign_host")
        for origin in headers.getlist("origin"):
            if not host or _split(origin).netloc != host:
                raise ApiError(400, "requests from other origins are not taken", code="foreign_origin")


def exchange_ids(request: Request) -> frozenset[str]:
    ids: frozenset[str] = request.scope[_mark]
    return ids


def _is_plain(path: bytes) -> bool:
    """No empty, upward or hidden steps; escapes only where a model's name may need them."""
    if path.startswith(b"/v1/models/"):
        path = unquote_to_bytes(path)
    return _plain_path.fullmatch(path) is not None and not {b".", b".."} & set(path.split(b"/"))


def _split(url: str) -> SplitResult:
    """What is no URL, such as an open bracket, has no host."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


class Exchange:
    """One request and its answer as they pass by: marks the answer with its id, and knows how it went."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.id = secrets.token_hex(8)
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        self._shown_id = clean(given, shown_id_characters) or self.id
        self._scope = scope
        self._receive = receive
        self._send = send
        self._start_s = time.monotonic()
        self._status = 499  # the client has gone, unless an answer says otherwise
        self.begun = self._complete = False
        self._body_unread = has_body(headers)

    @property
    def ids(self) -> frozenset[str]:
        """The one that is its alone, and the one that its answer shows."""
        return frozenset((self.id, self._shown_id))

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect" and not self._complete:
            self._status = 499
        if not message.get("more_body", False):
            self._body_unread = False
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._drain()
            self.begun = True
            self._status = message["status"]
            headers = MutableHeaders(raw=list(message["headers"]))
            headers["x-request-id"] = self._shown_id
            if self._body_unread:
                headers["connection"] = "close"  # or the rest of the body, however long, would be read
            message = {**message, "headers": headers.raw}
        self._complete |= message["type"] == "http.response.body" and not message.get("more_body", False)
        await self._send(message)

    async def _drain(self) -> None:
        """Read a little of what an early answer does not need: closing on bytes that are on their way resets
        the connection, and the client may never see why it was refused.
        """
        read = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(drained_s):
                while self._body_unread and read < drained_bytes:
                    message = await self.receive()
                    if message["type"] == "http.disconnect":
                        break
                    read += len(message.get("body", b""))

    def log(self) -> None:
        took_ms = (time.monotonic() - self._start_s) * 1e3
        path = self._scope["path"] if self._scope["path"].isprintable() else "?"
        words = (self.id, self._shown_id, self._scope["method"], path[:100], self._status, took_ms)
        level = logging.DEBUG if self._scope["raw_path"] in open_paths else logging.INFO
        log.log(level, "%s (%s) %s %s %d %.1f ms", *words)
