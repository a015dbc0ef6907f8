"""An open-loop client over HTTP: every request at its intended time, however the server fares.

Owns the wire: one connection a request, token ids in, a stream of events out, each token stamped by this
process's clock as it arrives. Sockets and bytes by hand, since client and server share the machine's cores:
what this costs is measured and told with each run. Knows no promises.

An event says how many tokens the answer has so far (`continuous_usage_stats`), so that one event with two
tokens, or a token without text, is counted right. All times are seconds since the run's start. A request's
arrival is the moment it was meant to be sent: what the client is late counts against the server, so a run
with a late client is not `valid`.
"""

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from headway.bench.report import Answer

most_lag_s = 0.02  # of the client's loop, 99 times in 100: above it the client was the bottleneck
tick_s = 0.01


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it is meant."""

    at_s: float
    service_class: str
    prompt: Sequence[int]
    output_tokens: int
    salt: str = ""  # requests with different ones share no cached prefix

    def body(self, model: str) -> bytes:
        fields = {
            "model": model,
            "prompt": list(self.prompt),
            "max_tokens": self.output_tokens,
            "service_tier": self.service_class,
            "temperature": 0,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"continuous_usage_stats": True},
        }
        salted = {"cache_salt": self.salt} if self.salt else {}
        return json.dumps(fields | salted).encode()


@dataclass(slots=True)
class Exchange:
    """What came of a request. None: it has not come to that."""

    asked: Asked
    sent_s: float
    first_byte_s: float | None = None
    ended_s: float | None = None
    status: int | None = None
    retry_after_s: float | None = None
    stamps: list[float] = field(default_factory=list)  # of tokens
    complete: bool = False
    in_engine_s: float | None = None  # queue and steps, by the server's account; once it is complete

    @property
    def answer(self) -> Answer:
        tokens = len(self.asked.prompt) + self.asked.output_tokens
        return Answer(self.asked.service_class, self.asked.at_s, self.stamps, self.complete, tokens)


class Reading:
    """A response's bytes as they come: its status, its Retry-After, and how many tokens it tells of."""

    _tokens = re.compile(rb'"completion_tokens": ?(\d+)')
    _timings = re.compile(rb'"timings":\{[^}]*"host_ms": ?([\d.e+-]+)[^}]*"total_ms": ?([\d.e+-]+)')
    _retry_after = re.compile(rb"\r\nretry-after: ?(\d+)", re.IGNORECASE)

    def __init__(self) -> None:
        self.status: int | None = None
        self.retry_after_s: float | None = None
        self.in_engine_s: float | None = None
        self.tokens = 0
        self.failed = self.done = False
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """An event ends with an empty line; frames of the chunked coding lie between events."""
        self._rest += data
        if self.status is None:
            head, empty_line, rest = self._rest.partition(b"\r\n\r\n")
            if not empty_line:
                return
            self._rest = rest
            self.status = int(head.split(b" ", 2)[1])
            if after := self._retry_after.search(head):
                self.retry_after_s = float(after[1])
        *events, self._rest = self._rest.split(b"\n\n")
        for event in events:
            self._event(event)

    def _event(self, event: bytes) -> None:
        if counted := self._tokens.search(event):
            self.tokens = int(counted[1])
            if b'"timings"' in event and (found := self._timings.search(event)):
                self.in_engine_s = (float(found[2]) - float(found[1])) / 1e3
        elif b'data: {"error"' in event:
            self.failed = True
        elif b"data: [DONE]" in event:
            self.done = True


class _Connection(asyncio.Protocol):
    def __init__(self, exchange: Exchange, request: bytes, since_s: float) -> None:
        self._exchange = exchange
        self._request = request
        self._since_s = since_s
        self._reading = Reading()
        self._transport: asyncio.Transport | None = None
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now, exchange, reading = time.monotonic() - self._since_s, self._exchange, self._reading
        if exchange.first_byte_s is None:
            exchange.first_byte_s = now
        reading.feed(data)
        stamps = exchange.stamps
        stamps += [now] * (reading.tokens - len(stamps))
        exchange.status, exchange.retry_after_s = reading.status, reading.retry_after_s

    def connection_lost(self, error: Exception | None) -> None:
        exchange, reading = self._exchange, self._reading
        exchange.ended_s = time.monotonic() - self._since_s
        whole = reading.tokens == exchange.asked.output_tokens
        exchange.complete = reading.status == 200 and reading.done and whole and not reading.failed
        exchange.in_engine_s = reading.in_engine_s
        if not self.over.done():
            self.over.set_result(None)

    def hang_up(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class Client:
    """Of one server, for one run, which begins when this is made."""

    def __init__(self, url: str, model: str) -> None:
        host, port = urlsplit(url).hostname, urlsplit(url).port
        assert host is not None
        assert port is not None
        self._address = (host, port)
        self._model = model
        self._since_s = time.monotonic()
        self.exchanges: list[Exchange] = []

    @property
    def now_s(self) -> float:
        return time.monotonic() - self._since_s

    def request(self, asked: Asked) -> bytes:
        body, (host, port) = asked.body(self._model), self._address
        head = f"POST /v1/completions HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
        return f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body

    async def send(self, asked: Asked, request: bytes | None = None) -> Exchange:
        """Now. Over when the answer is, or when this is cancelled, which leaves it unfinished."""
        exchange = Exchange(asked, self.now_s)
        self.exchanges.append(exchange)
        connection = _Connection(exchange, request or self.request(asked), self._since_s)
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: connection, *self._address)
            await connection.over
        except OSError:
            exchange.ended_s = self.now_s  # no answer, which counts as a failed one
        finally:
            connection.hang_up()
        return exchange


@dataclass(frozen=True, slots=True)
class Played:
    """A run: every request that was sent, also those again, in the order of their sending."""

    exchanges: list[Exchange]
    lag_p99_s: float
    cpu_share: float  # of one core, the client's own
    us_per_token: float  # of that, for each token that came; connections and requests included

    @property
    def valid(self) -> bool:
        return self.lag_p99_s <= most_lag_s

    @property
    def answers(self) -> list[Answer]:
        return [exchange.answer for exchange in self.exchanges]


Way = Callable[[Client, Asked, bytes], Awaitable[object]]


async def once(client: Client, asked: Asked, request: bytes) -> Exchange:
    return await client.send(asked, request)


async def obeying(client: Client, asked: Asked, request: bytes) -> Exchange:
    """Who is told to come again later does so, once; the second exchange is the first one's successor."""
    exchange = await client.send(asked, request)
    if exchange.status == 429 and exchange.retry_after_s is not None:
        await asyncio.sleep(exchange.retry_after_s)
        exchange = await client.send(asked, request)
    return exchange


async def play(
    schedule: Sequence[Asked],
    url: str,
    horizon_s: float,
    *,
    model: str = "smollm2",
    way: Way = once,
    beside: Callable[[Client], Awaitable[object]] | None = None,
) -> Played:
    """Send them all at their times; at the horizon, hang up on what is unfinished. Ends early if all is done.

    `beside` is run along with it and decides, where it is given, when the run ends before the horizon.
    """
    writer = Client(url, model)
    requests = [writer.request(asked) for asked in schedule]
    client = Client(url, model)  # the clock starts when the bodies are there
    cpu_s, lags = time.process_time(), list[float]()
    ticking = asyncio.ensure_future(_watch_lag(lags))
    tasks = [
        asyncio.ensure_future(_at_its_time(client, asked, request, way))
        for asked, request in zip(schedule, requests, strict=True)
    ]
    extra = [] if beside is None else [asyncio.ensure_future(beside(client))]
    await asyncio.wait(extra or tasks or [ticking], timeout=horizon_s - client.now_s)
    took_s, cpu_s = client.now_s, time.process_time() - cpu_s
    for task in (*tasks, *extra, ticking):
        task.cancel()
    ends = await asyncio.gather(*tasks, *extra, ticking, return_exceptions=True)
    for end in ends:
        if isinstance(end, Exception):
            raise end
    tokens = sum(len(exchange.stamps) for exchange in client.exchanges)
    lag_s = sorted(lags)[int(0.99 * len(lags))] if lags else 0.0
    return Played(client.exchanges, lag_s, cpu_s / took_s, 1e6 * cpu_s / max(1, tokens))


async def _at_its_time(client: Client, asked: Asked, request: bytes, way: Way) -> None:
    await asyncio.sleep(max(0.0, asked.at_s - client.now_s))
    await way(client, asked, request)


async def _watch_lag(lags: list[float]) -> None:
    """How much later than asked the loop wakes."""
    while True:
        before_s = time.monotonic()
        await asyncio.sleep(tick_s)
        lags.append(max(0.0, time.monotonic() - before_s - tick_s))
