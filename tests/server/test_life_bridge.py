"""The API process's end of the bridge, over a pair of sockets: whatever comes, all who wait hear an end."""

import asyncio
import logging
import socket
from array import array
from collections.abc import Awaitable, Callable

import pytest

from headway.core.types import Accepted, Cancel, Request, Sampling, Stepped, Token
from headway.metrics.ledger import Ledger, Standing
from headway.server.engine_client import EngineClient, EngineState
from headway.server.listening import Aborted, EngineGone
from headway.server.wire import (
    Facts,
    Failed,
    Heartbeat,
    Phase,
    Withdraw,
    events_frame,
    header_bytes,
    request_frame,
    to_frame,
)

request = Request(1, array("i", [1, 2, 3]), Sampling(), arrival_s=1.0)
standing = Standing(running=1, blocks_free=5, blocks_cached=0, blocks_used=1, slots_unused=13)
a_step = Stepped(**{**dict.fromkeys(Stepped._fields, 0), "infeasible": ()})  # type: ignore[arg-type]
loaded = to_frame(Facts(256, 512, 16, 6, 64))

Story = Callable[[EngineClient, socket.socket], Awaitable[None]]


def play(story: Story, step_limit_s: float = 60.0) -> EngineClient:
    """A client and the engine's half of its socket; the client is closed at the end."""
    client_is = []

    async def run() -> None:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        client = EngineClient(Ledger(), step_limit_s=step_limit_s)
        client_is.append(client)
        with theirs:
            await client.connect(ours)
            await story(client, theirs)
            async with asyncio.timeout(20):
                await client.close()

    asyncio.run(run())
    return client_is[0]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    "junk",
    [
        b"\xff" * 64,  # a length over the limit
        (3).to_bytes(header_bytes, "big") + b"abc",  # not msgpack of ours
        to_frame(Withdraw(Cancel(1))),  # a frame that goes the other way
    ],
)
def test_a_broken_frame_is_the_end_of_the_engine(junk: bytes) -> None:
    async def story(client: EngineClient, engine: socket.socket) -> None:
        engine.send(loaded + junk)
        await until(lambda: client.state is EngineState.DEAD)

    play(story)


def test_a_mistake_of_ours_in_what_the_engine_said_is_logged_and_its_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story(client: EngineClient, engine: socket.socket) -> None:
        engine.send(loaded)
        await until(lambda: client.facts is not None)
        listening = client.submit([request])
        engine.send(events_frame([Accepted(1, 1.0, "chat"), Token(99, 0, 5, 1.5)]))
        await until(lambda: client.state is EngineState.DEAD)
        with pytest.raises(EngineGone):
            await listening.next()

    with caplog.at_level(logging.ERROR):
        play(story)
    assert "KeyError: 99" in caplog.text


def test_closing_waits_for_no_engine_that_does_not_read() -> None:
    async def story(client: EngineClient, engine: socket.socket) -> None:
        engine.send(loaded)
        await until(lambda: client.facts is not None)
        client.submit([Request(1, array("i", [1]) * (1 << 22), Sampling(), arrival_s=1.0)])

    play(story)


def test_after_it_was_abandoned_nothing_is_handed_in() -> None:
    async def story(client: EngineClient, engine: socket.socket) -> None:
        engine.send(loaded)
        await until(lambda: client.facts is not None)
        client.abandon("the server is shutting down")
        with pytest.raises(EngineGone, match="shutting down"):
            client.submit([request])

    play(story)


def test_what_the_engine_said_last_is_why_it_is_gone() -> None:
    async def story(client: EngineClient, engine: socket.socket) -> None:
        engine.send(to_frame(Phase("weights", 1.0)) + to_frame(Failed("no weights")))
        engine.close()
        await until(client.ready.is_set)
        assert (client.facts, client.failure) == (None, "no weights")
        assert client.trouble == "no weights"

    play(story)


def test_a_batch_that_does_not_come_back_counts_as_hung_until_it_does() -> None:
    async def story(client: EngineClient, engine: socket.socket) -> None:
        async def beat() -> None:
            while True:
                engine.send(to_frame(Heartbeat(1, standing)))
                await asyncio.sleep(0.01)

        engine.send(loaded)
        await until(lambda: client.state is EngineState.READY)
        beating = asyncio.create_task(beat())
        await until(lambda: client.state is EngineState.HUNG)
        assert "a step has been running" in (client.trouble or "")
        engine.send(events_frame([a_step]))
        await until(lambda: client.state is EngineState.READY)
        assert client.trouble is None
        beating.cancel()

    play(story, step_limit_s=0.3)


def test_an_engine_with_nothing_to_do_is_not_hung() -> None:
    async def story(client: EngineClient, engine: socket.socket) -> None:
        engine.send(loaded)
        await until(lambda: client.facts is not None)
        for _ in range(30):
            engine.send(to_frame(Heartbeat(0, standing)))
            await asyncio.sleep(0.01)
            assert client.state is EngineState.READY

    play(story, step_limit_s=0.2)


def test_who_is_aborted_reads_what_there_was_and_the_engine_is_told_once() -> None:
    async def story(client: EngineClient, engine: socket.socket) -> None:
        engine.send(loaded)
        await until(lambda: client.facts is not None)
        listening = client.submit([request])
        engine.send(events_frame([Accepted(1, 1.0, "chat"), Token(1, 0, 5, 1.5)]))
        await until(lambda: listening.begun)
        assert [client.abort(listening), client.abort(listening)] == [True, False]
        listening.close()
        assert len(await listening.next()) == 2
        with pytest.raises(Aborted):
            await listening.next()
        sent = request_frame(request) + to_frame(Withdraw(Cancel(1)))
        assert await asyncio.get_running_loop().sock_recv(engine, 1 << 16) == sent

    play(story)


def test_requests_and_cancels_go_out_in_order() -> None:
    async def story(client: EngineClient, engine: socket.socket) -> None:
        engine.send(loaded)
        await until(lambda: client.facts is not None)
        client.submit([request]).close()
        sent = request_frame(request) + to_frame(Withdraw(Cancel(1)))
        got = b""
        while len(got) < len(sent):
            got += await asyncio.get_running_loop().sock_recv(engine, 1 << 16)
        assert got == sent

    play(story)
