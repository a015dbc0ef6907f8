"""Requests over HTTP as a schedule has them: each at its intended time, however the server fares; or so many
at a time, each as soon as a place is free.

A request's arrival is the moment it was meant to be sent: what the client is late counts against the server,
so a run with a late client is not `valid`. What client and server cost each other on shared cores is measured
and told with each run. Knows no promises.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from math import inf

from headway.bench.client import Client, Connect, Exchange, connect
from headway.bench.report import Answer
from headway.bench.wire import Asked, BadTarget, Target

most_lag_s = 0.02  # of the client's loop, 99 times in 100: above it the client was the bottleneck
tick_s = 0.01
refused = 429
alive = (None, 200, refused)  # statuses of a server that lives; None: open
told_every_s = 0.5


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


def check_answered(played: Played, when: str, within_s: float | None = None) -> None:
    """Raises BadTarget where nobody was answered and most have failed. `within_s`: that they are open or were
    refused is not enough."""
    if any(e.complete for e in played.exchanges):
        return
    failed = [e for e in played.exchanges if e.status not in alive or (e.error and e.status != refused)]
    errors = Counter(e.error or str(e.status) for e in failed)
    if 2 * len(failed) > len(played.exchanges) or (failed and within_s is not None):
        raise BadTarget(f"{when} nobody was answered: {dict(errors.most_common(3))}")
    if within_s is not None:
        raise BadTarget(f"{when} nobody was answered within {within_s:g} s")


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
    schedule: Iterable[Asked],
    target: Target,
    horizon_s: float,
    *,
    way: Way = once,
    at_a_time: int | None = None,
    until_s: float = inf,
    connect: Connect = connect,
    beside: Callable[[Client], Awaitable[object]] | None = None,
    told: Callable[[Client], object] | None = None,
) -> Played:
    """Send them all at their times; or `at_a_time`, in their order, whatever their times, and none after
    `until_s`; these are drawn as they are needed. At the horizon, hang up on what is unfinished. Ends early
    if all is done.

    `beside` is run along with it and decides, where it is given, when the run ends before the horizon. `told`
    hears from time to time how far it is.
    """
    requests = ((asked, target.request(asked)) for asked in schedule)
    open_loop = list(requests) if at_a_time is None else []
    client = Client(target, connect)  # the clock starts when the bodies are there
    cpu_s, lags = time.process_time(), list[float]()
    watches = [asyncio.ensure_future(_watch_lag(lags))]
    if told is not None:
        watches.append(asyncio.ensure_future(_tell(client, told)))
    tasks = [asyncio.ensure_future(_at_its_time(client, *each, way)) for each in open_loop]
    for _ in range(at_a_time or 0):
        tasks.append(asyncio.ensure_future(_one_by_one(client, requests, way, until_s)))
    extra = [] if beside is None else [asyncio.ensure_future(beside(client))]
    left_s = None if horizon_s == inf else horizon_s - client.now_s
    await asyncio.wait(extra or tasks or watches, timeout=left_s)
    took_s, cpu_s = client.now_s, time.process_time() - cpu_s
    for task in (*tasks, *extra, *watches):
        task.cancel()
    ends = await asyncio.gather(*tasks, *extra, *watches, return_exceptions=True)
    for end in ends:
        if isinstance(end, Exception):
            raise end
    tokens = sum(len(exchange.stamps) for exchange in client.exchanges)
    lag_s = sorted(lags)[int(0.99 * len(lags))] if lags else 0.0
    return Played(client.exchanges, lag_s, cpu_s / took_s, 1e6 * cpu_s / max(1, tokens))


async def _at_its_time(client: Client, asked: Asked, request: bytes, way: Way) -> None:
    await asyncio.sleep(max(0.0, asked.at_s - client.now_s))
    await way(client, asked, request)


async def _one_by_one(
    client: Client, waiting: Iterator[tuple[Asked, bytes]], way: Way, until_s: float
) -> None:
    """Of those that wait, the next as soon as the last is answered; that moment is its intended time."""
    while client.now_s < until_s and (found := next(waiting, None)) is not None:
        asked, request = found
        await way(client, replace(asked, at_s=client.now_s), request)


async def _tell(client: Client, told: Callable[[Client], object]) -> None:
    while True:
        await asyncio.sleep(told_every_s)
        told(client)


async def _watch_lag(lags: list[float]) -> None:
    """How much later than asked the loop wakes."""
    loop = asyncio.get_running_loop()
    while True:
        before_s = loop.time()
        await asyncio.sleep(tick_s)
        lags.append(max(0.0, loop.time() - before_s - tick_s))
