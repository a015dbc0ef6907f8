"""Limits on what a client may send and take, and for how long."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.server.raw_http import connect, exchange, read_answer
from tests.server.scripted_engine import Scripted
from tests.server.scripted_server import Server, scripted_server
from tests.server.waiting import wait_for

head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"

slowest_health_s = 1.0  # ten times what is promised, for machines that have much else to do


@pytest.fixture(scope="module")
def strict() -> Iterator[Server]:
    """Small limits, so that a test reaches them soon."""
    settings = {
        "body_bytes": 10_000,
        "read_timeout_s": 0.5,
        "send_timeout_s": 0.5,
        "ping_s": 0.05,
    }
    with scripted_server(settings, Scripted(max_model_len=100_000, blocks=10_000)) as running:
        yield running


def test_a_body_that_says_it_is_too_large_is_not_read(strict: Server) -> None:
    answer = exchange(strict, head + b"Content-Length: 99999999999999999999\r\n\r\n")
    assert answer.status == 413
    assert answer.json["error"]["code"] == "body_too_large"


def test_a_body_that_turns_out_too_large_is_a_413(strict: Server) -> None:
    chunk = b"1000\r\n" + b" " * 0x1000 + b"\r\n"
    with connect(strict) as connection:
        connection.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(OSError):  # it hangs up while this is being sent
            for _ in range(1_000):
                connection.sendall(chunk)
        assert read_answer(connection).status == 413


def test_an_endless_body_to_nowhere_is_not_read_on(strict: Server) -> None:
    with connect(strict) as connection:
        connection.sendall(b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        answer = read_answer(connection)
        assert answer.status == 404
        assert "connection: close" in answer.head.lower()
        assert connection.recv(1) == b""


def test_a_body_that_comes_too_slowly_is_a_408(strict: Server) -> None:
    answer = exchange(strict, head + b'Content-Length: 100\r\n\r\n{"prompt":')
    assert answer.status == 408


def test_a_head_that_comes_too_slowly_is_a_408(strict: Server) -> None:
    with connect(strict) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\n")
        trickle = threading.Thread(target=_trickle, args=(connection,))
        trickle.start()
        assert read_answer(connection).status == 408
    trickle.join()


def _trickle(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        for _ in range(100):
            connection.sendall(b"x: y\r\n")
            time.sleep(0.05)


def test_a_connection_that_says_nothing_is_closed(strict: Server) -> None:
    with connect(strict) as connection:
        assert b"408" in connection.recv(1 << 16)


def test_a_head_over_the_limit_is_a_431(server: Server) -> None:
    request = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 1_000_000 + b"\r\n\r\n"
    with connect(server) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(request)
        answer = read_answer(connection)
    assert answer.status == 431
    assert set(answer.json["error"]) == {"message", "type", "param", "code"}


def test_three_hundred_headers_are_a_431(server: Server) -> None:
    lines = "".join(f"x-{i}: y\r\n" for i in range(300))
    answer = exchange(server, f"GET /health HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode())
    assert answer.status == 431


@pytest.mark.parametrize("junk", [b"\x16\x03\x01\x00\xff\r\n\r\n", b"HELLO\r\n\r\n", b"GET /\r\n\r\n"])
def test_what_is_not_http_is_a_400(server: Server, junk: bytes) -> None:
    assert exchange(server, junk).status == 400


@pytest.mark.parametrize("chunks", [b"zz\r\n", b'5\r\n{"pro\r\nzz\r\n', b"5\r\n{}   no end"])
def test_a_chunk_that_is_none_is_a_400(server: Server, chunks: bytes) -> None:
    answer = exchange(server, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
    assert answer.status == 400
    assert "connection: close" in answer.head.lower()


def test_a_body_shorter_than_it_said_harms_nobody(server: Server) -> None:
    with connect(server) as connection:
        connection.sendall(head + b'Content-Length: 500\r\n\r\n{"prompt": "a"}')
    assert server.get("/health").status_code == 200


@pytest.fixture(scope="module")
def roomy() -> Iterator[Server]:
    """Nothing is too long for it."""
    with scripted_server(scripted=Scripted(max_model_len=1 << 23)) as running:
        yield running


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/tokenize", b'{"prompt": "' + b"ab " * 2_000_000 + b'"}', 200),
        ("/detokenize", b'{"tokens": [' + b"97," * 500_000 + b"97]}", 200),
        ("/v1/completions", b'{"prompt": [' + b"97," * 500_000 + b"999]}", 400),
        ("/v1/completions", b'{"prompt": [' + b"1," * 4_000_000 + b"1]}", 400),
        (
            "/v1/chat/completions",
            b'{"messages": [{"role": "user", "content": [' + b"1," * 500_000 + b"1]}]}",
            400,
        ),
        ("/v1/completions", b'{"x": 1' + b"".join(b',"%x": 1' % i for i in range(400_000)) + b"}", 400),
    ],
    ids=["text", "tokens", "ids", "too many ids", "wrong parts", "unknown fields"],
)
def test_health_answers_while_a_large_body_is_dealt_with(
    roomy: Server, path: str, body: bytes, status: int
) -> None:
    given: list[int] = []
    thread = threading.Thread(target=lambda: given.append(roomy.post_raw(path, body).status_code))
    thread.start()
    while thread.is_alive():
        assert roomy.get("/health", timeout=slowest_health_s).status_code == 200
    thread.join()
    assert given == [status]


def test_a_stream_that_waits_is_pinged(strict: Server) -> None:
    with scripted_server({"ping_s": 0.05}, Scripted(step_s=0.3)) as slow:
        answer = slow.post("/v1/completions", {"prompt": "a", "max_tokens": 2, "stream": True})
        assert answer.text.count(": ping\n\n") >= 2
        assert answer.text.endswith("data: [DONE]\n\n")


def test_a_reader_that_never_reads_is_hung_up_on(strict: Server) -> None:
    body = (
        b'{"prompt": "abc", "stream": true, "ignore_eos": true, "max_tokens": 99000, "logprobs": 20, "n": 8}'
    )
    with connect(strict) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        wait_for(lambda: strict.metrics()["headway:running"] > 0)
        wait_for(lambda: strict.metrics()["headway:running"] == 0)
    assert strict.metrics()['headway:aborted_total{cause="cancelled"}'] >= 1
