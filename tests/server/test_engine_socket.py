"""The engine's end of the bridge over a real pair of sockets: it waits as told and blocks on nobody."""

import socket
import threading
import time
from array import array
from collections.abc import Iterator

import pytest

from headway.core.types import Cancel, Logprob, PromptScored, Request, Sampling, Token
from headway.metrics.ledger import Standing
from headway.server.engine_socket import Bridge, SocketInbox, SocketSink, most_taken
from headway.server.wire import (
    Events,
    Heartbeat,
    Report,
    Splitter,
    Withdraw,
    frame_bytes,
    header_bytes,
    read_report,
    request_frame,
    to_frame,
)

request = Request(7, array("i", [1, 2, 3]), Sampling(), arrival_s=1.0)
standing = Standing(running=0, blocks_free=9, blocks_cached=0, blocks_used=0, slots_unused=0)
long_s = 20.0  # a wait that only a hang would use up


@pytest.fixture
def pair() -> Iterator[tuple[Bridge, socket.socket]]:
    ours, theirs = socket.socketpair()
    theirs.settimeout(long_s)
    with theirs:
        yield Bridge(ours, unread_limit=1 << 20), theirs


def read_some(theirs: socket.socket) -> list[Report]:
    splitter, bodies = Splitter(), list[bytes]()
    while not bodies:
        bodies = splitter.push(theirs.recv(1 << 16))
    return [read_report(body) for body in bodies]


Pair = tuple[Bridge, socket.socket]


def test_letters_are_taken_once_and_in_order(pair: Pair) -> None:
    bridge, theirs = pair
    inbox = SocketInbox(bridge)
    theirs.sendall(request_frame(request) + to_frame(Withdraw(Cancel(7))))
    assert inbox.wait(None)
    assert inbox.take(0.0) == [request, Cancel(7)]
    assert inbox.take(0.0) == []


def test_a_flood_is_taken_in_parts_and_nobody_waits_in_between(pair: Pair) -> None:
    bridge, theirs = pair
    inbox = SocketInbox(bridge)
    theirs.sendall(b"".join(to_frame(Withdraw(Cancel(id))) for id in range(3 * most_taken + 1)))
    taken = []
    while len(taken) <= 3 * most_taken:
        assert inbox.wait(None)
        part = inbox.take(0.0)
        assert 0 < len(part) <= most_taken
        taken += part
    assert taken == [Cancel(id) for id in range(3 * most_taken + 1)]


def test_a_letter_in_pieces_waits_for_its_end(pair: Pair) -> None:
    bridge, theirs = pair
    inbox, frame = SocketInbox(bridge), request_frame(request)
    theirs.sendall(frame[:-1])
    assert inbox.take(0.0) == []
    theirs.sendall(frame[-1:])
    assert inbox.wait(None)
    assert inbox.take(0.0) == [request]


def test_waiting_ends_when_another_thread_wakes_it(pair: Pair) -> None:
    inbox = SocketInbox(pair[0])
    thread = threading.Thread(target=inbox.wake)
    thread.start()
    assert inbox.wait(time.monotonic() + long_s)
    thread.join()


def test_a_wake_before_the_wait_is_not_lost(pair: Pair) -> None:
    inbox = SocketInbox(pair[0])
    for _ in range(100_000):  # more than the pipe holds
        inbox.wake()
    assert inbox.wait(None)


def test_waiting_ends_at_its_time(pair: Pair) -> None:
    until = time.monotonic() + 0.01
    assert SocketInbox(pair[0]).wait(until)
    assert time.monotonic() >= until


def test_it_is_closed_when_the_other_side_is_gone(pair: Pair) -> None:
    bridge, theirs = pair
    inbox = SocketInbox(bridge)
    theirs.close()
    assert not inbox.wait(None)


def test_while_it_waits_it_sends_heartbeats(pair: Pair) -> None:
    bridge, theirs = pair
    inbox = SocketInbox(bridge)
    inbox.beat_with(lambda: Heartbeat(0, standing))
    thread = threading.Thread(target=inbox.wait, args=(None,))
    thread.start()
    assert read_some(theirs) == [Heartbeat(0, standing)]
    assert read_some(theirs) == [Heartbeat(0, standing)]
    theirs.close()
    thread.join()


@pytest.mark.parametrize(
    "junk",
    [
        b"\xff" * 64,  # a length over the limit
        (3).to_bytes(header_bytes, "big") + b"abc",  # not msgpack of ours
        to_frame(Heartbeat(0, standing)),  # a frame that goes the other way
    ],
)
def test_a_broken_frame_closes_the_bridge_and_nothing_else(pair: Pair, junk: bytes) -> None:
    bridge, theirs = pair
    inbox = SocketInbox(bridge)
    theirs.sendall(junk)
    assert not inbox.wait(None)
    assert not bridge.open


def test_events_arrive_in_one_frame(pair: Pair) -> None:
    bridge, theirs = pair
    tokens = [Token(1, 0, token, 0.5) for token in range(3)]
    SocketSink(bridge).publish(0.0, tokens)
    (report,) = read_some(theirs)
    assert isinstance(report, Events)
    assert report.tokens == tokens


def test_what_the_socket_does_not_take_at_once_arrives_while_waiting(pair: Pair) -> None:
    bridge, theirs = pair
    inbox, sink = SocketInbox(bridge), SocketSink(bridge)
    tokens = [Token(1, 0, token, 0.5) for token in range(40_000)]  # more than the socket's own buffer
    sink.publish(0.0, tokens)
    assert bridge.has_unsent
    thread = threading.Thread(target=inbox.wait, args=(None,))
    thread.start()
    (report, *_) = read_some(theirs)
    assert isinstance(report, Events)
    assert len(report.tokens) == len(tokens)
    theirs.close()
    thread.join()


def test_a_reader_that_never_reads_ends_the_engine_instead_of_blocking_it(pair: Pair) -> None:
    bridge, _ = pair
    inbox, sink = SocketInbox(bridge), SocketSink(bridge)
    tokens = [Token(1, 0, token, 0.5) for token in range(10_000)]
    for _ in range(1_000):
        sink.publish(0.0, tokens)
        if not bridge.open:
            break
    assert not inbox.wait(None)


def test_publishing_to_nobody_is_no_error(pair: Pair) -> None:
    bridge, theirs = pair
    theirs.close()
    for _ in range(2):
        SocketSink(bridge).publish(0.0, [Token(1, 0, 5, 0.5)])
    assert not bridge.open


def test_a_turn_too_large_for_one_frame_comes_in_several() -> None:
    large = Logprob(1, -0.5, ((1, -0.5),) * 2_000_000)  # 22 MB as a frame writes it
    ours, theirs = socket.socketpair()
    bridge, sizes, splitter = Bridge(ours), list[int](), Splitter()
    SocketSink(bridge).publish(0.0, [PromptScored(7, 0, (large,) * 4), Token(7, 0, 5, 1.0)])
    with theirs:
        while bridge.has_unsent:
            sizes += map(len, splitter.push(theirs.recv(1 << 20)))
            bridge.flush()
        assert bridge.open
        bridge.close("all is sent")
        while data := theirs.recv(1 << 20):
            sizes += map(len, splitter.push(data))
    assert len(sizes) == 3  # two halves of what was scored, and the token
    assert max(sizes) <= frame_bytes < sum(sizes)
