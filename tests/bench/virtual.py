"""An event loop whose clock moves only while nobody has anything to do, and connections that are no sockets:
what a client measures there is exact.
"""

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

Serve = Callable[["Line"], Awaitable[None]]


class _Jumping(selectors.SelectSelector):
    """Nothing is waited for: the loop's clock jumps to its next timer."""

    def __init__(self, loop: "VirtualLoop") -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everyone waits for ever"
            if timeout > 0:
                self._loop.now_s = self._loop._scheduled[0].when()  # type: ignore[attr-defined]
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.now_s = 0.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        return self.now_s


def run(main: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


class Line(asyncio.Transport):
    """A client's end of a connection, and what its server sees of it."""

    def __init__(self, client: asyncio.Protocol) -> None:
        super().__init__()
        self._client = client
        self.closed = False
        self.request = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.request += data

    def abort(self) -> None:
        if not self.closed:
            self.closed = True
            self._client.connection_lost(None)

    def answer(self, data: bytes) -> None:
        if not self.closed:
            self._client.data_received(data)


class InMemory:
    """A `Connect` to a server that is a coroutine."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, target: object, protocol: Callable[[], asyncio.Protocol]) -> object:
        client = protocol()
        line = Line(client)
        client.connection_made(line)
        task = asyncio.ensure_future(self._serve_and_close(line))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return line, client

    async def _serve_and_close(self, line: Line) -> None:
        await self._serve(line)
        line.abort()
