"""The server process from its first line to its exit code: engine, sockets, signals, and how all of it ends.

Owns the run of a server. The engine process has been started by the caller, so that both can load at once.
"""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import uvicorn

from headway.server.app import create_app
from headway.server.assembly import connected
from headway.server.engine_client import EngineClient
from headway.server.engine_process import EngineProcess
from headway.server.protocol import head_bytes, limited_protocol
from headway.server.record import Recorder
from headway.server.services import Services
from headway.server.settings import ServerSettings
from headway.server.wire import Facts
from headway.text.chat_template import ChatTemplate
from headway.text.tokenizer import Tokenizer

_signals = (signal.SIGINT, signal.SIGTERM)
last_words_s = 5  # what an exchange has to answer with an error once the drain's limit is over


@dataclass(frozen=True, slots=True)
class Told:
    """What a run of the server says, for whoever shows it."""

    phase: Callable[[str, float], None]  # a phase of the engine's loading, and its seconds
    ready: Callable[[str, Facts], None]  # the URL, once requests are taken
    ended: Callable[[str], None]  # why, when it is not by request


def bind(settings: ServerSettings) -> socket.socket:
    """The socket to listen on; bound early, so that a taken port is known before a model is loaded.

    Raises OSError.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError:
        listener.close()
        raise
    return listener


def serve(
    settings: ServerSettings,
    listener: socket.socket,
    engine: EngineProcess,
    tokenizer: Tokenizer,
    template: ChatTemplate,
    told: Told,
    record: Recorder | None = None,
) -> int:
    """Serve until a signal or the engine's end. The exit code: 0 after a signal, else the engine's or 1."""
    run = Run(settings, engine, tokenizer, template, told, record)
    try:
        lost = asyncio.run(run.until_the_end(listener))
    finally:
        code = engine.close()
    return max(code, 1) if lost else 0


class Run:
    def __init__(
        self,
        settings: ServerSettings,
        engine: EngineProcess,
        tokenizer: Tokenizer,
        template: ChatTemplate,
        told: Told,
        record: Recorder | None,
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._tokenizer = tokenizer
        self._template = template
        self._told = told
        self._record = record

    async def until_the_end(self, listener: socket.socket) -> bool:
        """True: the engine was lost."""
        async with connected(
            self._settings, self._engine, self._tokenizer, self._template, self._told.phase, self._record
        ) as services:
            client = services.client
            http = HttpServer(self._config(services))
            serving = asyncio.create_task(http.serve([listener]))
            asked_to_end = self._on_signals(http)
            announcing = asyncio.create_task(self._announce(client, listener))
            ending = asyncio.create_task(asked_to_end.wait())
            losing = asyncio.create_task(client.gone.wait())
            await asyncio.wait((ending, losing, serving), return_when=asyncio.FIRST_COMPLETED)
            if not client.gone.is_set():
                await self._drain(client, http)
            lost = client.gone.is_set() and not http.force_exit
            if lost:
                self._told.ended(client.failure or "the engine ended unexpectedly")
                await asyncio.sleep(self._settings.linger_s if client.facts is not None else 0.0)
            client.abandon("the server is shutting down")
            http.should_exit = True
            await serving
            for task in (announcing, ending, losing):
                task.cancel()
        return lost

    def _config(self, services: Services) -> uvicorn.Config:
        settings = self._settings
        return uvicorn.Config(
            create_app(services),
            http=limited_protocol(settings.read_timeout_s, settings.send_timeout_s),
            h11_max_incomplete_event_size=head_bytes,
            timeout_keep_alive=settings.idle_timeout_s,
            timeout_graceful_shutdown=last_words_s,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
        )

    def _on_signals(self, http: "HttpServer") -> asyncio.Event:
        """The event is set by the first signal; the second ends everything at once."""
        event = asyncio.Event()

        def on_signal() -> None:
            if event.is_set():
                http.force_exit = True
                self._engine.kill()
            event.set()

        for number in _signals:
            asyncio.get_running_loop().add_signal_handler(number, on_signal)
        return event

    async def _announce(self, client: EngineClient, listener: socket.socket) -> None:
        await client.ready.wait()
        if client.facts is not None:
            host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
            self._told.ready(f"http://{host}:{listener.getsockname()[1]}", client.facts)

    async def _drain(self, client: EngineClient, http: "HttpServer") -> None:
        """Let exchanges that have begun finish, those too whose prompt is still being tokenized."""
        client.drain_for_good()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.shutdown_timeout_s):
                while http.server_state.tasks and not client.gone.is_set():
                    await asyncio.sleep(0.02)


class HttpServer(uvicorn.Server):
    """Signals are for `Run`: uvicorn would stop listening at once, and /ready could not say why."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
