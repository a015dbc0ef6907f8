"""The application without a socket: bodies go in and answers come out by the very routes that HTTP takes.

Owns the calls, and that they fail together when the engine goes. For batch files: an answer in a file is the
answer that a client would have had.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from starlette.types import ASGIApp, Message, Scope

from headway.server.app import create_app
from headway.server.assembly import connected
from headway.server.engine_client import EngineClient
from headway.server.engine_process import EngineProcess
from headway.server.listening import EngineGone
from headway.server.settings import ServerSettings
from headway.text.chat_template import ChatTemplate
from headway.text.tokenizer import Tokenizer

again_s = 0.5  # how soon an engine that was silent is asked again


class NotLoaded(Exception):
    """The engine could not start; the message says why."""


class Application:
    """Calls may run side by side; how many the engine runs at a time is its own affair."""

    def __init__(self, app: ASGIApp, client: EngineClient) -> None:
        self._app = app
        self._client = client

    async def post(self, url: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and answer, waiting for an engine that hangs until it goes on.

        Raises EngineGone, for then there is no answer that would stay true.
        """
        while True:
            status, answer = await self._once(url, body)
            if status != 503 or answer["error"]["code"] != "engine_hung":
                return status, answer
            await asyncio.sleep(again_s)

    async def _once(self, url: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        sent = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]
        received: list[Message] = []

        async def receive() -> Message:
            return sent.pop() if sent else await asyncio.Future()  # this client never leaves

        async def send(message: Message) -> None:
            received.append(message)

        await self._app(_scope(url), receive, send)
        if self._client.gone.is_set():
            raise EngineGone(self._client.failure or "the engine ended")
        start, *parts = received
        return start["status"], json.loads(b"".join(part["body"] for part in parts))


@asynccontextmanager
async def application(
    settings: ServerSettings,
    engine: EngineProcess,
    tokenizer: Tokenizer,
    template: ChatTemplate,
    told: Callable[[str, float], None],
) -> AsyncIterator[Application]:
    """Ready to be called. `told` hears the phases of the engine's loading. Raises NotLoaded."""
    async with connected(settings, engine, tokenizer, template, told) as services:
        await services.client.ready.wait()
        if services.client.facts is None:
            raise NotLoaded(services.client.failure or "the engine ended while it was loading")
        yield Application(create_app(services), services.client)


def _scope(url: str) -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": url,
        "raw_path": url.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", 0),
    }
