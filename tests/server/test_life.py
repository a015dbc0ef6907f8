"""The life of server and engine: starting, overload, clients that leave, an engine that crashes or hangs."""

import json
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.server.raw_http import connect
from tests.server.scripted_engine import Scripted
from tests.server.scripted_server import Server, scripted_server
from tests.server.streams import endless, events_of, idle, open_streams
from tests.server.waiting import wait_for

slow = Scripted(step_s=0.05)


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
        with open_streams(server, 1), open_streams(server, 1):
            assert server.post("/v1/completions", {"prompt": ["a"] * 2}).status_code == 429
        wait_for(lambda: idle(server))


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/completions", {"prompt": ["a"] * 3}, "prompt"),
        ("/v1/completions", {"prompt": ["a"] * 2, "n": 2}, "n"),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}], "n": 3}, "n"),
    ],
)
def test_more_answers_than_the_queue_holds_are_refused_for_good(
    path: str, body: dict[str, object], param: str
) -> None:
    with scripted_server(scripted=Scripted(max_queued=2)) as server:
        refused = server.post(path, body)
    error = refused.json()["error"]
    assert (refused.status_code, error["param"], error["code"]) == (400, param, "invalid_value")
    assert "2" in error["message"]
    assert "retry-after" not in refused.headers


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("n", [1, 3])
def test_a_client_that_leaves_while_its_answer_is_made_ends_it(server: Server, stream: bool, n: int) -> None:
    body = json.dumps(endless | {"stream": stream, "n": n}).encode()
    head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    before = server.metrics()['headway:aborted_total{cause="cancelled"}']
    with connect(server) as connection:
        connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        wait_for(lambda: not idle(server))
    wait_for(lambda: idle(server))
    assert server.metrics()['headway:aborted_total{cause="cancelled"}'] == before + n


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
    """Every block is back, by the engine's own word, and whatever was accepted has ended."""

    def blocks() -> list[float]:
        metrics = server.metrics()
        return [metrics[f'headway:kv_blocks{{state="{state}"}}'] for state in ("free", "cached", "used")]

    wait_for(lambda: blocks()[2] == 0)  # the next heartbeat says so
    assert sum(blocks()) == Scripted().blocks
    metrics = server.metrics()
    finished, accepted = (
        sum(value for name, value in metrics.items() if name.startswith(f"headway:{what}_total"))
        for what in ("finished", "accepted")
    )
    assert finished == accepted


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


def test_a_step_that_does_not_end_is_seen_though_the_loop_still_turns() -> None:
    with scripted_server({"step_limit_s": 0.5}) as server:
        assert server.post("/v1/completions", {"prompt": "a"}).status_code == 200
        with open_streams(server, 1, prompt="\x0e"):
            wait_for(lambda: server.get("/health").status_code == 503)
            health = server.get("/health").json()
            assert (health["status"], "a step has been running" in health["detail"]) == ("hung", True)
            assert server.post("/v1/completions", {"prompt": "a"}).status_code == 503


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
