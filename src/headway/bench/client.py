"""A client of one server: a connection for each request, every token stamped as it comes.

Owns sockets and stamps; what goes over them is `wire.py`'s. The clock is the event loop's, so that a loop
with a clock of its own sees exact times; so does who connects. All times are seconds since the client was
made.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from headway.bench.report import Answer
from headway.bench.wire import Asked, Reading, Target

silence_s = 600.0  # from a server that takes a connection, or has taken it: then it is given up

Connect = Callable[[Target, Callable[[], asyncio.Protocol]], Awaitable[object]]


@dataclass(slots=True)
class Exchange:
    """What came of a request. None: it has not come to that."""

    asked: Asked
    dispatched_s: float  # when the client turned to it
    sent_s: float | None = None  # when a connection took it
    first_byte_s: float | None = None
    ended_s: float | None = None
    status: int | None = None
    retry_after_s: float | None = None
    stamps: list[float] = field(default_factory=list)  # of tokens
    chunks_s: list[float] = field(default_factory=list)  # of pieces that brought some
    complete: bool = False
    prompt_tokens: int | None = None  # as the server counts them
    output_tokens: int | None = None
    guessed: int = 0  # tokens without a time of their own: the server told of them at the end
    in_engine_s: float | None = None  # queue and steps, by the server's account; once it is complete
    error: str = ""

    @property
    def answer(self) -> Answer:
        prompt = len(self.asked.prompt) if self.prompt_tokens is None else self.prompt_tokens
        tokens = prompt + self.asked.output_tokens
        return Answer(self.asked.service_class, self.asked.at_s, self.stamps, self.complete, tokens)


class _Connection(asyncio.Protocol):
    def __init__(self, exchange: Exchange, request: bytes, whole: bool, now: Callable[[], float]) -> None:
        self._exchange = exchange
        self._request = request
        self._whole = whole  # the answer is as long as was asked for, or it is not complete
        self._now = now
        self._reading = Reading()
        self._transport: asyncio.Transport | None = None
        self.heard_s = now()  # when it was last heard of
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # which asyncio types too widely
        self._exchange.sent_s = self.heard_s = self._now()
        transport.write(self._request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        now, exchange, reading = self._now(), self._exchange, self._reading
        self.heard_s = now
        if exchange.first_byte_s is None:
            exchange.first_byte_s = now
        reading.feed(data)
        fresh = reading.tokens - len(exchange.stamps)
        if fresh > 0:
            exchange.stamps += [now] * fresh
            exchange.chunks_s.append(now)
        exchange.status, exchange.retry_after_s = reading.status, reading.retry_after_s
        if reading.over:
            self.hang_up()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.over.done() and not self._reading.finished:
            self._exchange.error = self._reading.error or "the server closed the connection"
        self._end()

    def hang_up(self) -> None:
        self._end()
        if self._transport is not None:
            self._transport.abort()

    def _end(self) -> None:
        """Once, whoever hung up."""
        if self.over.done():
            return
        self.over.set_result(None)
        exchange, reading = self._exchange, self._reading
        exchange.ended_s = self._now()
        exchange.error, exchange.in_engine_s = exchange.error or reading.error, reading.in_engine_s
        if reading.usage is not None:
            exchange.prompt_tokens = reading.usage.prompt_tokens
            exchange.output_tokens = reading.usage.completion_tokens
        if reading.surplus and exchange.chunks_s:
            exchange.guessed = reading.surplus
            exchange.stamps = spread(exchange.chunks_s, len(exchange.stamps) + reading.surplus)
        whole = len(exchange.stamps) == exchange.asked.output_tokens or not self._whole
        exchange.complete = reading.status == 200 and reading.finished and whole and not reading.error


def spread(chunks_s: list[float], tokens: int) -> list[float]:
    """The tokens' times, as evenly over the pieces as they go: a first in the first, a last in the last."""
    return [chunks_s[i * len(chunks_s) // tokens] for i in range(tokens)]


async def connect(target: Target, protocol: Callable[[], asyncio.Protocol]) -> object:
    loop = asyncio.get_running_loop()
    return await loop.create_connection(protocol, target.host, target.port, ssl=target.tls or None)


class Client:
    """Of one server, for one run, which begins when this is made."""

    def __init__(self, target: Target, connect: Connect = connect) -> None:
        self.target = target
        self._connect = connect
        self._clock = asyncio.get_running_loop().time
        self._since_s = self._clock()
        self.exchanges: list[Exchange] = []

    @property
    def now_s(self) -> float:
        return self._clock() - self._since_s

    async def send(self, asked: Asked, request: bytes | None = None) -> Exchange:
        """Now. Over when the answer is, or when this is cancelled, which leaves it unfinished."""
        exchange = Exchange(asked, self.now_s)
        self.exchanges.append(exchange)
        body = request or self.target.request(asked)
        connection = _Connection(exchange, body, self.target.dialect.lengths, lambda: self.now_s)
        try:
            await asyncio.wait_for(self._connect(self.target, lambda: connection), silence_s)
            while (left_s := connection.heard_s + silence_s - self.now_s) > 0 and not connection.over.done():
                await asyncio.wait([connection.over], timeout=left_s)
            if not connection.over.done():
                exchange.error = f"the server was silent for {silence_s:g} s"
        except TimeoutError:
            exchange.ended_s, exchange.error = self.now_s, f"no connection within {silence_s:g} s"
        except OSError as error:
            exchange.ended_s = self.now_s  # no answer, which counts as a failed one
            exchange.error = f"{self.target.host}:{self.target.port}: {error.strerror or error}"
        finally:
            connection.hang_up()
        return exchange
