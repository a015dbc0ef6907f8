"""A generation turned into bytes: one JSON answer, or a stream of server-sent events.

Owns the order of a stream, and that what it needed is closed whatever it ends by. Shapes are `shapes.py`'s.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from headway.server.choice import Delta
from headway.server.errors import ApiError
from headway.server.generation import Generation
from headway.server.schema import StreamOptions
from headway.server.shapes import Json, Shape, timings_json, usage_json

T = TypeVar("T")
ping = b": ping\n\n"


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The work's result; if the client leaves first, the work is cancelled. Raises ClientDisconnect."""
    task = asyncio.ensure_future(work)
    watch = asyncio.ensure_future(_departure(request.receive))
    try:
        await asyncio.wait((task, watch), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientDisconnect
    finally:
        watch.cancel()
        task.cancel()
        await asyncio.gather(task, watch, return_exceptions=True)


async def _departure(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def whole(generation: Generation, shape: Shape) -> Response:
    """The answer of a generation that has started; whoever started it closes it. Raises ApiError."""
    parts: dict[int, list[Delta]] = {choice.index: [] for choice in generation.choices}
    async for deltas in generation.deltas(patience_s=3600.0):
        for delta in deltas:
            parts[delta.index].append(delta)
    joined = [_join(deltas) for deltas in parts.values()]
    return Response(
        msgspec.json.encode(shape.answer(joined, generation.usage, generation.timings)),
        media_type="application/json",
    )


def _join(deltas: list[Delta]) -> Delta:
    return replace(
        deltas[-1],
        text="".join(delta.text for delta in deltas),
        tokens=tuple(token for delta in deltas for token in delta.tokens),
        logprobs=tuple(scored for delta in deltas for scored in delta.logprobs),
        starts=tuple(start for delta in deltas for start in delta.starts),
    )


class EventStream(Response):
    """Streams a generation that has started. The client's leaving ends it at once."""

    def __init__(
        self,
        generation: Generation,
        shape: Shape,
        options: StreamOptions | None,
        ping_s: float,
        until_answered: ExitStack,
    ) -> None:
        """`until_answered` is closed at the end."""
        super().__init__(media_type="text/event-stream", headers={"cache-control": "no-store"})
        del self.headers["content-length"]
        self._generation = generation
        self._shape = shape
        self._usage_at_end = options is not None and bool(options.include_usage)
        self._usage_always = options is not None and bool(options.continuous_usage_stats)
        self._ping_s = ping_s
        self._until_answered = until_answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with suppress(ClientDisconnect):  # an answer has begun: there is no other to give
                await while_connected(Request(scope, receive), self._send(send))
        finally:
            self._until_answered.close()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async for data in self._events():
            await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _events(self) -> AsyncIterator[bytes]:
        """Each choice: its opening, its pieces, an end; then usage if asked; then the last word."""
        opened: set[int] = set()
        unfinished = len(self._generation.choices)
        try:
            async for deltas in self._generation.deltas(self._ping_s):
                if not deltas:
                    yield ping
                for delta in deltas:
                    unfinished -= delta.reason is not None
                    for chunk in self._chunks(delta, opened, is_last=not unfinished):
                        yield self._event(chunk)
            if self._usage_at_end:
                usage = usage_json(self._generation.usage)
                yield _data({**self._shape.closing(), "usage": usage, "timings": self._timings()})
        except ApiError as error:
            yield _data(error.body())
        yield b"data: [DONE]\n\n"

    def _chunks(self, delta: Delta, opened: set[int], *, is_last: bool) -> list[Json]:
        chunks: list[Json] = []
        if delta.index not in opened:
            opened.add(delta.index)
            opening = self._shape.opening(delta.index)
            chunks += [] if opening is None else [opening]
        if delta.text or delta.logprobs:
            chunks.append(self._shape.piece(delta))
        if delta.reason is not None:
            ending = self._shape.ending(delta.index, delta.reason)
            if is_last and not self._usage_at_end:
                ending["timings"] = self._timings()
            chunks.append(ending)
        return chunks

    def _event(self, chunk: Json) -> bytes:
        if self._usage_always:
            chunk["usage"] = usage_json(self._generation.usage)
        elif self._usage_at_end:
            chunk["usage"] = None
        return _data(chunk)

    def _timings(self) -> Json:
        return timings_json(self._generation.timings)


def _data(value: Json) -> bytes:
    return b"data: " + msgspec.json.encode(value) + b"\n\n"
