"""A server that computes nothing and keeps exact times, to measure load clients against.

    python benchmarks/mock_server.py --port 9000 --first 0.2 --gap 0.02
    python benchmarks/mock_server.py --stall 2 --every 10        nothing moves for 2 s of every 10

Speaks as much of OpenAI's completions and chat as load clients need. Every answer's first token comes `first`
seconds after its request has been read, every other one `gap` after the one before, and there are as many as
the request asks for.
"""

import argparse
import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

Write = Callable[[bytes], object]
Drain = Callable[[], Awaitable[None]]

HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"
    b"connection: close\r\n\r\n"
)
END = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


@dataclass
class Mock:
    first_s: float = 0.05
    gap_s: float = 0.01
    stall_s: float = 0.0
    every_s: float = 10.0
    refused: int = 0  # so many requests, the first ones
    counts: bool = True  # with each event, where a request asks for it
    strict: bool = False  # takes OpenAI's own fields alone
    per_event: int = 1  # tokens
    in_engine_s: float | None = None  # that it says its engine took

    def due(self, at_s: float) -> float:
        """When what is due at `at_s` is sent: not during a stall, which each period ends with."""
        within_s = at_s % self.every_s
        stalled = self.stall_s > 0 and within_s >= self.every_s - self.stall_s
        return at_s + (self.every_s - within_s if stalled else 0.0)

    async def respond(self, request: dict[str, Any], write: Write) -> None:
        if self.refused:
            self.refused -= 1
            write(b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n")
            return
        if self.strict and ("ignore_eos" in request or "continuous_usage_stats" in request["stream_options"]):
            body = b'{"error": {"message": "unknown field"}}'
            write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            return
        loop, tokens = asyncio.get_running_loop(), request.get("max_tokens") or 16
        counts = self.counts and request.get("stream_options", {}).get("continuous_usage_stats", False)
        at_s = loop.time() + self.first_s
        for sent in range(0, tokens, self.per_event):
            count = min(sent + self.per_event, tokens)
            await asyncio.sleep(self.due(at_s) - loop.time())
            if sent == 0:
                write(HEAD)
            write(_event(request, "a" * (count - sent), count if counts else None, count == tokens))
            at_s += self.gap_s
        usage: dict[str, Any] = {"choices": [], "usage": _usage(request, tokens)}
        if self.in_engine_s is not None:
            usage["timings"] = {"host_ms": 2.0, "total_ms": 1e3 * self.in_engine_s + 2.0}
        write(_chunk(usage) + END)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            if head.startswith(b"get"):
                body = json.dumps({"object": "list", "data": [{"id": "mock", "object": "model"}]}).encode()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n")
                writer.write(f"content-length: {len(body)}\r\n\r\n".encode() + body)
            else:
                length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
                await self.respond(json.loads(await reader.readexactly(length)), writer.write)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):  # the client has left
            pass
        finally:
            writer.close()


def _event(request: dict[str, Any], text: str, count: int | None, last: bool) -> bytes:
    reason = "length" if last else None
    said = {"delta": {"content": text}} if "messages" in request else {"text": text}
    fields: dict[str, Any] = {"choices": [{"index": 0, **said, "finish_reason": reason}]}
    if count is not None:
        fields["usage"] = _usage(request, count)
    return _chunk(fields)


def _usage(request: dict[str, Any], tokens: int) -> dict[str, int]:
    prompt = len(request.get("prompt") or "one prompt")
    return {"prompt_tokens": prompt, "completion_tokens": tokens, "total_tokens": prompt + tokens}


def _chunk(fields: dict[str, Any]) -> bytes:
    data = b"data: " + json.dumps(fields).encode() + b"\n\n"
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


async def serve(mock: Mock, port: int) -> None:
    server = await asyncio.start_server(mock.serve, "127.0.0.1", port, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    async with server:
        await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument
    add("--port", type=int, default=0)
    add("--first", type=float, default=0.05, help="seconds to the first token")
    add("--gap", type=float, default=0.01, help="seconds between tokens")
    add("--stall", type=float, default=0.0, help="seconds of each period in which nothing moves")
    add("--every", type=float, default=10.0, help="seconds of a period")
    add("--per-event", type=int, default=1, help="tokens of an event")
    given = parser.parse_args()
    mock = Mock(given.first, given.gap, given.stall, given.every, per_event=given.per_event)
    asyncio.run(serve(mock, given.port))


if __name__ == "__main__":
    main()
