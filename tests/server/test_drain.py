"""A drain: nothing new is taken, what is open is finished; it can be taken back; beside a shutdown, too."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.server.scripted_engine import Scripted
from tests.server.scripted_server import Server, scripted_server
from tests.server.streams import endless, events_of, idle, open_streams
from tests.server.waiting import wait_for

admin = {"authorization": "Bearer master"}
slow = Scripted(step_s=0.01)


@pytest.fixture(scope="module")
def drained() -> Iterator[Server]:
    with scripted_server({"admin_key": "master"}, slow) as running:
        yield running


@pytest.fixture(autouse=True)
def undrained(drained: Server) -> Iterator[None]:
    yield
    assert drain(drained, {"cancel": True})["status"] == "ready"


def drain(server: Server, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Without a body where none is given."""
    given = {} if body is None else {"json": body}
    answer = server.http.post("/v1/drain", headers=admin, **given)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(server: Server, content: bytes, **headers: str) -> tuple[int, dict[str, Any]]:
    answer = server.post_raw("/v1/drain", content, **headers)
    return answer.status_code, answer.json()["error"]


def test_what_is_open_is_finished_and_nothing_new_is_taken(drained: Server) -> None:
    with open_streams(drained, 3) as streams, ThreadPoolExecutor(1) as threads:
        whole = threads.submit(drained.post, "/v1/completions", endless)
        wait_for(lambda: drained.get("/ready").json()["open"] == 4)
        assert drain(drained) == {"status": "draining", "drained": True, "open": 4}
        for path, body in (
            ("/v1/completions", {"prompt": "a"}),
            ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}]}),
            ("/tokenize", {"prompt": "a"}),
        ):
            answer = drained.post(path, body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "engine_draining")
            assert int(answer.headers["retry-after"]) >= 1
        assert [events_of(s)[-1]["choices"][0]["finish_reason"] for s in streams] == ["length"] * 3
        assert whole.result().json()["usage"]["completion_tokens"] == endless["max_tokens"]
    wait_for(lambda: drain(drained) == {"status": "draining", "drained": True, "open": 0})


def test_it_is_seen_by_balancers_and_dashboards_and_the_server_counts_as_well(drained: Server) -> None:
    assert drained.get("/ready").json() == {"status": "ready", "drained": False, "open": 0}
    drain(drained, {})
    ready = drained.get("/ready")
    assert (ready.status_code, ready.json()) == (503, {"status": "draining", "drained": True, "open": 0})
    assert drained.http.head("/ready").status_code == 503
    health = drained.get("/health")
    assert (health.status_code, health.json()["status"]) == (200, "draining")
    assert drained.metrics()['headway:engine_state{state="draining"}'] == 1
    assert "headway:engine_state" in drained.get("/").text
    assert drained.get("/v1/models").status_code == 200


def test_it_is_taken_back_whether_it_was_in_force_or_not(drained: Server) -> None:
    drain(drained, {"cancel": False})
    assert drain(drained, {"cancel": None})["drained"], "to say it again changes nothing"
    for _ in range(2):
        assert drain(drained, {"cancel": True}) == {"status": "ready", "drained": False, "open": 0}
        assert drained.get("/ready").status_code == 200
        assert drained.post("/v1/completions", {"prompt": "a"}).status_code == 200


def test_what_a_client_leaves_is_not_waited_for(drained: Server) -> None:
    with open_streams(drained, 2):
        assert drain(drained)["open"] == 2
    wait_for(lambda: drained.get("/ready").json()["open"] == 0)
    wait_for(lambda: idle(drained))


def test_a_refused_or_failed_request_is_not_open(drained: Server) -> None:
    for body, status in (({"prompt": "\x07"}, 500), ({"prompt": "a" * 600}, 400), ({"prompt": [300]}, 400)):
        assert drained.post("/v1/completions", body).status_code == status
    assert drained.get("/ready").json()["open"] == 0


# ---- who may, and how it is asked


def test_without_an_admin_key_the_route_says_how_to_enable_it(server: Server) -> None:
    for headers in ({}, admin):
        answer = server.http.post("/v1/drain", headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "admin_disabled")
        assert "--admin-key" in answer.json()["error"]["message"]
    assert server.get("/ready").status_code == 200


@pytest.mark.parametrize("given", [None, "Bearer wrong", "Basic master", "master"])
def test_without_the_key_it_is_a_401_before_the_body_is_read(drained: Server, given: str | None) -> None:
    headers = {} if given is None else {"authorization": given}
    status, error = refused(drained, b"{not json", **headers)
    assert (status, error["code"]) == (401, "admin_key")
    assert drained.get("/ready").status_code == 200


@pytest.mark.parametrize("path", ["/v1/drain", "/v1/abort"])
def test_another_key_of_ours_is_not_enough(path: str) -> None:
    keys = {"api_key": "sesame", "tightening_key": "tighter", "admin_key": "master"}
    with scripted_server(keys) as server:
        statuses = {
            key: server.post(path, {"no": 1}, headers={"authorization": f"Bearer {key}"}).status_code
            for key in ("sesame", "tighter", "master", "wrong")
        }
    assert statuses == {"sesame": 403, "tighter": 403, "master": 400, "wrong": 401}


@pytest.mark.parametrize(
    ("content", "param", "words"),
    [
        (b"{", None, "not valid JSON"),
        (b"null", None, "not an object"),
        (b'{"cancel": true, "cancel": false}', None, "stands twice"),
        (b'{"cancel": 1}', "cancel", "true or false"),
        (b'{"cancel": "true"}', "cancel", "true or false"),
        (b'{"cancle": true}', "cancle", "no such field; there are cancel"),
    ],
)
def test_what_is_wrong_is_a_400_that_names_it_and_drains_nothing(
    drained: Server, content: bytes, param: str | None, words: str
) -> None:
    status, error = refused(drained, content, **admin)
    assert (status, error["param"]) == (400, param)
    assert words in error["message"]
    assert drained.get("/ready").status_code == 200


# ---- beside the life of the server


def test_a_server_that_is_drained_ends_on_sigterm_as_any_other() -> None:
    with scripted_server({"admin_key": "master"}, slow) as server, open_streams(server, 2) as streams:
        drain(server)
        server.terminate()
        assert [events_of(s)[-1]["choices"][0]["finish_reason"] for s in streams] == ["length"] * 2
        assert server.wait() == 0


def test_while_it_shuts_down_a_drain_tells_how_far_it_is_and_nothing_takes_that_back() -> None:
    with scripted_server({"admin_key": "master"}, slow) as server, open_streams(server, 2) as streams:
        server.terminate()
        wait_for(lambda: server.get("/ready").status_code == 503)
        assert server.get("/ready").json() == {"status": "draining", "drained": False, "open": 2}
        assert drain(server) == {"status": "draining", "drained": True, "open": 2}
        back = server.post("/v1/drain", {"cancel": True}, headers=admin)
        assert (back.status_code, back.json()["error"]["code"]) == (409, "shutting_down")
        assert server.post("/v1/completions", {"prompt": "a"}).status_code == 503
        assert [events_of(s)[-1]["choices"][0]["finish_reason"] for s in streams] == ["length"] * 2
        assert server.wait() == 0


def test_one_that_is_drained_while_it_loads_takes_nothing_once_it_has() -> None:
    with scripted_server({"admin_key": "master"}, Scripted(load_s=1.0), until="listening") as server:
        assert drain(server) == {"status": "starting", "drained": True, "open": 0}
        wait_for(lambda: server.get("/ready").json()["status"] == "draining")
        drain(server, {"cancel": True})
        assert server.post("/v1/completions", {"prompt": "a"}).status_code == 200
