"""Live changes over HTTP: who may, what is told, and that requests on their way come to no harm."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.server.scripted_engine import Scripted
from tests.server.scripted_server import Server, scripted_server
from tests.server.streams import open_streams
from tests.server.waiting import wait_for

admin = {"authorization": "Bearer master"}
body = {"prompt": "abc", "max_tokens": 4, "temperature": 0, "ignore_eos": True}


@pytest.fixture(scope="module")
def live() -> Iterator[Server]:
    with scripted_server({"admin_key": "master"}) as running:
        yield running


def change(server: Server, **fields: Any) -> dict[str, Any]:
    answer = server.post("/v1/slo", fields, headers=admin)
    assert answer.status_code == 200, answer.text
    return answer.json()


def error(server: Server, content: bytes | str, **headers: str) -> tuple[int, dict[str, Any]]:
    data = content.encode() if isinstance(content, str) else content
    answer = server.post_raw("/v1/slo", data, **{"authorization": "Bearer master", **headers})
    return answer.status_code, answer.json()["error"]


# ---- who may


def test_without_an_admin_key_the_route_says_how_to_enable_it(server: Server) -> None:
    for headers in ({}, admin):
        answer = server.post("/v1/slo", {"policy": "adaptive"}, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "admin_disabled")
        assert "--admin-key" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "given", [None, "", "Bearer", "Bearer wrong", "Basic master", "master", "Bearer Master"]
)
def test_without_the_admin_key_it_is_a_401_before_the_body_is_read(live: Server, given: str | None) -> None:
    headers = {} if given is None else {"authorization": given}
    answer = live.post_raw("/v1/slo", b"{not json", **headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "admin_key")
    assert "master" not in answer.text


def test_another_key_of_ours_is_not_enough() -> None:
    keys = {"api_key": "sesame", "tightening_key": "tighter", "admin_key": "master"}
    with scripted_server(keys) as server:
        statuses = {
            key: server.post(
                "/v1/slo", {"policy": "aimd"}, headers={"authorization": f"Bearer {key}"}
            ).status_code
            for key in ("sesame", "tighter", "master", "wrong")
        }
        assert statuses == {"sesame": 403, "tighter": 403, "master": 200, "wrong": 401}
        assert server.get("/v1/slo").status_code == 401
        assert server.get("/v1/slo", headers={"authorization": "Bearer sesame"}).status_code == 200


# ---- what is told


def test_a_change_is_told_with_what_was_before_and_when_it_was_taken(live: Server) -> None:
    told = change(live, classes="swift:ttft=50ms,weight=4", policy="adaptive", window_s=600, tolerance=0.1)
    assert told["state"] == "trial"
    assert told["applied_at"] is not None
    assert (told["before"]["policy"], told["now"]["policy"]) == ("stall-free", "adaptive")
    assert told["before"]["classes"] == []
    assert [each["targets"]["ttft_ms"] for each in told["now"]["classes"]] == [50.0]
    to = {"policy": "stall-free", "classes": [], "remove": ["swift"]}
    assert told["rollback"] == {"window_s": 600.0, "tolerance": 0.1, "by_chance": 0.001, "to": to}
    status = live.get("/v1/slo").json()
    assert status["policy"] == "adaptive"
    assert "swift" in [each["name"] for each in status["classes"]]
    assert status["live"]["state"] == "trial"
    assert live.metrics()["headway:retune_on_trial"] == 1
    answer = live.post("/v1/completions", {**body, "service_tier": "swift"})
    assert answer.headers["x-headway-class"] == "swift"
    change(live, remove=["swift"], rollback=False)
    assert live.post("/v1/completions", {**body, "service_tier": "swift"}).status_code == 400
    samples = live.metrics()
    assert samples['headway:retunes_total{outcome="kept"}'] >= 1
    assert samples['headway:goodput_requests_total{class="swift"}'] == 1, "what was counted stays"


@pytest.mark.parametrize(
    ("content", "param", "words"),
    [
        ("{", None, "not valid JSON"),
        ("[]", None, "not an object"),
        ("null", None, "not an object"),
        (b"\xff", None, "not UTF-8"),
        ('{"policy": "aimd", "policy": "static"}', None, "stands twice"),
        ('{"policy": "aimd", "window_s": NaN}', None, "NaN is not a number"),
        ('{"policy": "aimd", "window_s": 1e308}', "window_s", "from 1 to 3600"),
        ('{"policy": "aimd", "window_s": 1e999}', "window_s", "from 1 to 3600"),
        ('{"policy": "aimd", "window_s": 0}', "window_s", "from 1 to 3600"),
        ('{"policy": "aimd", "window_s": "60"}', "window_s", "from 1 to 3600"),
        ('{"policy": "aimd", "window_s": true}', "window_s", "from 1 to 3600"),
        ('{"policy": "aimd", "tolerance": -0.01}', "tolerance", "from 0 to 1"),
        ('{"policy": "aimd", "tolerence": 0.1}', "tolerence", "no such field; there are classes, remove"),
        ('{"policy": "aimd", "\\u0000\\n": 1}', "?", "no such field"),
        ('{"policy": "aimd", "rollback": "no"}', "rollback", "true or false"),
        ('{"policy": "AIMD"}', "policy", "must be one of static"),
        ('{"policy": ["aimd"]}', "policy", "not allowed"),
        ('{"policy": ""}', "policy", "not allowed"),
        ('{"classes": {"chat": "itl=1s"}}', "classes", "a text of 1 to 8,192 characters"),
        ('{"classes": "chat:itl=1e308s"}', "classes", "from 1ms to 86400s"),
        ('{"classes": "chat:itl=nan"}', "classes", "chat: itl"),
        ('{"classes": "chat:level=' + "9" * 5000 + '"}', "classes", "a whole number from 0 to 99"),
        ('{"classes": "' + "x" * 9000 + '"}', "classes", "a text of 1 to 8,192 characters"),
        ('{"remove": "swift"}', "remove", "a list of at most 32"),
        ('{"remove": [1]}', "remove", "a list of at most 32"),
        ('{"tools": [1]}', "tools", "tools"),
    ],
)
def test_what_is_wrong_is_a_400_that_names_it(
    live: Server, content: str | bytes, param: str, words: str
) -> None:
    before = live.get("/v1/slo").json()["live"]
    status, told = error(live, content)
    assert (status, (told["param"] or "").partition("[")[0] or None) == (400, param)
    assert words in told["message"]
    assert len(told["message"]) < 400
    assert live.get("/v1/slo").json()["live"] == before


# ---- what becomes of it


def test_harm_is_undone_by_itself() -> None:
    """Behind streams that fill every place, a class that nobody may wait for any more expires."""
    scripted = Scripted(step_s=0.002, max_seqs=4, classes="gold:deadline=400ms")
    with scripted_server({"admin_key": "master"}, scripted) as server, ThreadPoolExecutor(8) as pool:
        asked = {**body, "service_tier": "gold", "max_tokens": 2}

        def ask_many(count: int) -> None:
            list(pool.map(lambda i: server.post("/v1/completions", asked), range(count)))

        ask_many(40)
        change(server, classes="gold:max-wait=1ms,level=99;chat:level=0", policy="adaptive", window_s=1)
        with open_streams(server, 8, max_tokens=400, service_tier="chat"):
            wait_for(lambda: ask_many(16) or server.get("/v1/slo").json()["live"]["state"] != "trial")
        status, samples = server.get("/v1/slo").json(), server.metrics()
    assert status["live"]["state"] == "rolled_back"
    assert "attainment of class gold fell from 100.0 %" in status["live"]["why"]
    assert status["policy"] == "stall-free"
    assert {each["name"]: each["max_wait_ms"] for each in status["classes"]}["gold"] is None
    assert samples['headway:retunes_total{outcome="rolled_back"}'] == 1


def test_a_class_that_is_withdrawn_under_load_breaks_nobody() -> None:
    scripted = Scripted(step_s=0.002, classes="gold:ttft=1s,itl=1s", policy="adaptive")
    with scripted_server({"admin_key": "master"}, scripted) as server, ThreadPoolExecutor(6) as pool:
        asked = {**body, "max_tokens": 30, "service_tier": "gold", "prompt": "a" * 200}
        answers = [pool.submit(server.post, "/v1/completions", asked) for _ in range(60)]
        for i in range(25):
            change(server, remove=["gold"], rollback=False)
            change(server, classes="gold:ttft=1s", policy=("stall-free", "adaptive", "static")[i % 3])
        statuses = [answer.result().status_code for answer in answers]
        assert set(statuses) <= {200, 400}, "as long as it is no class nobody can ask for it"
        assert statuses.count(200) > 0
        samples = server.metrics()
        assert server.get("/health").status_code == 200
    assert samples['headway:accepted_total{class="gold"}'] == statuses.count(200)


def test_changes_that_come_together_are_taken_one_after_another(live: Server) -> None:
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda i: change(live, classes=f"chat:weight={i + 2}"), range(24)))
    numbers = [each["number"] for each in told]
    assert len(set(numbers)) == 24
    last = max(told, key=lambda each: each["number"])
    chat = live.get("/v1/slo").json()["classes"][0]
    assert chat["weight"] == last["now"]["classes"][0]["weight"]


def test_while_it_drains_nothing_is_changed() -> None:
    settings = {"admin_key": "master", "shutdown_timeout_s": 20.0}
    with scripted_server(settings, Scripted(step_s=0.02)) as server, open_streams(server, 1, max_tokens=60):
        server.terminate()
        wait_for(lambda: server.get("/ready").status_code == 503)
        answer = server.post("/v1/slo", {"policy": "aimd"}, headers=admin)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "engine_draining")
        assert server.get("/v1/slo").json()["live"] is None
