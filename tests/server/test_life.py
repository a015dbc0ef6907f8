"""The life and death of server and engine: starting, overload, clients that leave, drain, crash, hang."""

import json
import os
import signal
import socket
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.server.raw_http import connect
from tests.server.scripted_engine import Scripted
from tests.server.scripted_server import Server, scripted_server
from tests.server.waiting import wait_for

endless: dict[str, Any] = {"prompt": "abc", "ignore_eos": True, "max_tokens": 400, "temperature": 0}
slow = Scripted(step_s=0.05)


def idle(server: Server) -> bool:
    return server.metrics()["headway:running"] + server.metrics()["headway:waiting"] == 0


@contextmanager
def open_streams(server: Server, count: int) -> Iterator[list["httpx.Response"]]:
    """Streams that have begun and will not end by themselves."""
    with ThreadPoolExecutor(count) as threads, httpx.Client(base_url=server.url, timeout=30) as client:
        requests = [client.build_request("POST", "/v1/completions", json=endless | {"stream": True})] * count
        responses = list(threads.map(lambda request: client.send(request, stream=True), requests))
        try:
            yield responses
        finally:
            for response in responses:
                response.close()


def events_of(response: httpx.Response) -> list[Any]:
    text = "".join(response.iter_text())
    return [json.loads(e[6:]) for e in text.split("\n\n") if e.startswith("data: {")]


# ---- beginning


def test_while_the_engine_loads_the_server_says_so() -> None:
    with scripted_server(scripted=Scripted(load_s=1.0), until="listening") as server:
        assert server.get("/ready").status_code == 503
        assert server.get("/health").json()["status"] == "starting"
        refused = server.post("/v1/completions", {"prompt": "a"})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        assert server.post("/tokenize", {"prompt": "a"}).status_code == 503
        assert server.get("/v1/models").status_code == 200
        wait_for(lambda: server.get("/ready").status_code == 200)
        assert server.post("/v1/completions", {"prompt": "a"}).status_code == 200


def test_an_engine_that_cannot_load_ends_the_server_with_its_code() -> None:
    with scripted_server(scripted=Scripted(refuses="no weights"), until="listening") as server:
        assert server.wait() == 2


def test_the_engines_socket_is_for_its_owner_alone(server: Server) -> None:
    path = Path(server.socket)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "junk", [b"", b"\xff" * 64, b"\x00\x00\x00\x03abc", b"\x00" * 4096, b"GET / HTTP/1.1"]
)
def test_a_stranger_on_the_engines_socket_is_hung_up_on(server: Server, junk: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.settimeout(20)
        stranger.connect(server.socket)
        stranger.sendall(junk)
        if not junk:
            stranger.shutdown(socket.SHUT_WR)
        assert stranger.recv(1) == b""
    assert server.post("/v1/completions", {"prompt": "a"}).status_code == 200


# ---- overload and leaving


def test_a_full_queue_is_a_429_with_a_time_to_come_back() -> None:
    with scripted_server(scripted=Scripted(step_s=0.05, max_seqs=1, max_queued=2)) as server:
        with open_streams(server, 1), open_streams(server, 2):
            refused = server.post("/v1/completions", {"prompt": "a"})
            assert refused.status_code == 429
            assert refused.json()["error"]["code"] == "overloaded"
            assert int(refused.headers["retry-after"]) >= 1
        wait_for(lambda: server.post("/v1/completions", {"prompt": "a"}).status_code == 200)


def test_of_several_prompts_one_refused_takes_the_others_back() -> None:
    with scripted_server(scripted=Scripted(step_s=0.01, max_seqs=1, max_queued=2)) as server:
        assert server.post("/v1/completions", {"prompt": ["a"] * 9}).status_code == 429
        wait_for(lambda: idle(server))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("n", [1, 3])
def test_a_client_that_leaves_while_its_answer_is_made_ends_it(server: Server, stream: bool, n: int) -> None:
    body = json.dumps(endless | {"stream": stream, "n": n}).encode()
    head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    before = server.metrics()['headway:aborted_total{cause="client_gone"}']
    with connect(server) as connection:
        connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        wait_for(lambda: not idle(server))
    wait_for(lambda: idle(server))
    assert server.metrics()['headway:aborted_total{cause="client_gone"}'] == before + n


def test_clients_that_leave_in_the_queue_take_their_place_with_them() -> None:
    with scripted_server(scripted=Scripted(step_s=0.02, max_seqs=1)) as server:
        with open_streams(server, 5):
            wait_for(lambda: server.metrics()["headway:waiting"] == 4)
        wait_for(lambda: idle(server))
        assert_whole(server)


@pytest.mark.slow
def test_two_hundred_clients_that_leave_at_random_leave_nothing_behind(server: Server) -> None:
    def come_and_go(seed: int) -> None:
        body = json.dumps(endless | {"stream": seed % 2 == 0, "n": 1 + seed % 3}).encode()
        head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        with connect(server) as connection:
            connection.sendall(
                head + b"Content-Length: %d\r\n\r\n" % len(body) + body[: len(body) - seed % 5]
            )
            threading.Event().wait((seed * 7919 % 100) / 400)

    with ThreadPoolExecutor(20) as threads:
        list(threads.map(come_and_go, range(200)))
    wait_for(lambda: idle(server))
    assert_whole(server)
    assert (
        server.post("/v1/completions", {"prompt": "next", "temperature": 0}).json()["choices"][0]["text"]
        == "next"
    )


def assert_whole(server: Server) -> None:
    """Every block is back, and whatever was accepted has ended."""
    metrics = server.metrics()
    free, cached, used = (metrics[f'headway:kv_blocks{{state="{s}"}}'] for s in ("free", "cached", "used"))
    assert (free + cached, used) == (Scripted().blocks, 0)
    finished = sum(v for name, v in metrics.items() if name.startswith("headway:finished_total"))
    assert finished == metrics['headway:accepted_total{class="default"}']


# ---- the engine's end


def test_a_killed_engine_ends_every_stream_with_an_error_and_the_server_with_a_code() -> None:
    with scripted_server(scripted=slow) as server, open_streams(server, 20) as streams:
        os.kill(server.engine_pid, signal.SIGKILL)
        with ThreadPoolExecutor(20) as threads:
            ends = [events[-1] for events in threads.map(events_of, streams)]
        assert all(end["error"]["code"] == "engine_gone" for end in ends)
        assert server.get("/health").status_code == 503
        assert server.post("/v1/completions", {"prompt": "a"}).status_code == 503
        assert server.wait() == 1


def test_a_killed_engine_ends_whole_answers_with_a_503() -> None:
    with scripted_server(scripted=slow) as server, ThreadPoolExecutor(1) as threads:
        answer = threads.submit(server.post, "/v1/completions", endless)
        wait_for(lambda: not idle(server))
        os.kill(server.engine_pid, signal.SIGKILL)
        assert answer.result().status_code == 503
        assert server.wait() == 1


def test_an_executor_that_dies_ends_every_request_and_the_server() -> None:
    with scripted_server(scripted=slow) as server, open_streams(server, 2) as streams:
        assert server.post("/v1/completions", {"prompt": "\x08"}).status_code in (500, 503)
        assert all("error" in events_of(stream)[-1] for stream in streams)
        assert server.wait() == 1


def test_a_hung_engine_is_seen_and_so_is_its_recovery() -> None:
    with scripted_server(scripted=Scripted(step_s=0.01)) as server, open_streams(server, 1) as (stream,):
        os.kill(server.engine_pid, signal.SIGSTOP)
        try:
            wait_for(lambda: server.get("/health").status_code == 503)
            assert server.get("/health").json()["status"] == "hung"
            assert server.get("/ready").status_code == 503
        finally:
            os.kill(server.engine_pid, signal.SIGCONT)
        wait_for(lambda: server.get("/health").status_code == 200)
        assert events_of(stream)[-1]["choices"][0]["finish_reason"] == "length"


# ---- the server's end


def test_on_sigterm_what_runs_is_finished_and_nothing_new_is_taken() -> None:
    with scripted_server(scripted=Scripted(step_s=0.01)) as server, open_streams(server, 2) as streams:
        server.terminate()
        wait_for(lambda: server.get("/ready").status_code == 503)
        assert server.get("/health").json()["status"] == "draining"
        assert server.post("/v1/completions", {"prompt": "a"}).status_code == 503
        assert [events_of(s)[-1]["choices"][0]["finish_reason"] for s in streams] == ["length"] * 2
        assert server.wait() == 0


def test_what_does_not_finish_in_time_ends_with_an_error_and_the_server_with_zero() -> None:
    with (
        scripted_server({"shutdown_timeout_s": 0.2}, slow) as server,
        open_streams(server, 2) as streams,
    ):
        server.terminate()
        assert all("shutting down" in events_of(s)[-1]["error"]["message"] for s in streams)
        assert server.wait() == 0


def test_the_engine_ends_with_its_server() -> None:
    with scripted_server() as server:
        server.process.kill()
        server.wait()
        wait_for(lambda: not _lives(server.engine_pid))


def test_the_engine_ends_with_its_server_even_while_it_loads() -> None:
    with scripted_server(scripted=Scripted(load_s=600.0), until="listening") as server:
        server.process.kill()
        server.wait()
        wait_for(lambda: not _lives(server.engine_pid))


def test_a_server_that_ends_leaves_no_socket_behind() -> None:
    with scripted_server() as server:
        server.terminate()
        assert server.wait() == 0
        assert not Path(server.socket).parent.exists()


def _lives(pid: int) -> bool:
    """A process that has ended and that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
