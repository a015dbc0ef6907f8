"""An abort: those that are named end, and their clients are told; blocks come back, the others go on."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import openai
import pytest

from tests.server.scripted_engine import Scripted
from tests.server.scripted_server import Server, scripted_server
from tests.server.streams import endless, events_of, idle, open_streams
from tests.server.test_drain import admin, drain
from tests.server.test_life import assert_whole
from tests.server.waiting import wait_for

by_admin, by_client = (f'headway:aborted_total{{cause="{cause}"}}' for cause in ("admin", "cancelled"))
chat = "/v1/chat/completions"
some_time = {"max_tokens": 60, "ignore_eos": True, "temperature": 0}


@pytest.fixture(scope="module")
def operated() -> Iterator[Server]:
    with scripted_server({"admin_key": "master"}, Scripted(step_s=0.01, max_seqs=4)) as running:
        yield running


@pytest.fixture(autouse=True)
def left_as_it_was(operated: Server) -> Iterator[None]:
    yield
    wait_for(lambda: idle(operated))
    assert_whole(operated)
    wait_for(lambda: operated.get("/ready").json()["open"] == 0)


def abort(server: Server, **fields: Any) -> dict[str, Any]:
    answer = server.post("/v1/abort", fields, headers=admin)
    assert answer.status_code == 200, answer.text
    return answer.json()


@contextmanager
def asking(server: Server, body: dict[str, Any], **headers: str) -> Iterator["Future[httpx.Response]"]:
    """An answer that is not streamed, while it is made."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    before = server.get("/ready").json()["open"]
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(server.post, "/v1/completions", body, headers=named)
        wait_for(lambda: server.get("/ready").json()["open"] == before + 1)
        yield answer


# ---- what the clients hear, and those who are not meant


def test_by_the_id_of_the_request_and_the_others_go_on_to_the_token(operated: Server) -> None:
    before = operated.metrics()
    other = {"prompt": "spared", **some_time}
    with (
        asking(operated, endless | {"n": 2}, x_request_id="mine") as mine,
        asking(operated, other, x_request_id="yours") as yours,
        open_streams(operated, 1, prompt="also", max_tokens=60) as (stream,),
    ):
        assert abort(operated, ids=["mine", "nobody", "mine"]) == {"aborted": 1, "unknown": ["nobody"]}
        error = mine.result().json()["error"]
        assert (mine.result().status_code, error["type"], error["code"]) == (503, "server_error", "aborted")
        assert mine.result().headers["x-should-retry"] == "false"
        assert "retry-after" not in mine.result().headers
        alone = "".join(event["choices"][0]["text"] for event in events_of(stream))
        assert alone == ("also " * 12)[:60]
        assert yours.result().json()["choices"][0]["text"] == ("spared " * 9)[:60]
    after = operated.metrics()
    assert after[by_admin] == before[by_admin] + 2, "sequences are counted"
    assert after[by_client] == before[by_client]


@pytest.mark.parametrize("path", ["/v1/completions", chat])
def test_by_the_id_of_the_answer_which_ends_the_stream_with_an_error(operated: Server, path: str) -> None:
    asked = {"messages": [{"role": "user", "content": "abc"}]} if path == chat else {"prompt": "abc"}
    body = some_time | {"max_tokens": 400, "stream": True} | asked
    with operated.http.stream("POST", path, json=body) as stream:
        lines = stream.iter_lines()
        id = openai_id(next(line for line in lines if line))
        assert abort(operated, ids=[id]) == {"aborted": 1, "unknown": []}
        *_, error, done = [line for line in lines if line.startswith("data:")]
    assert '"code":"aborted"' in error
    assert done == "data: [DONE]"
    wait_for(lambda: operated.get("/ready").json()["open"] == 0)
    assert abort(operated, ids=[id]) == {"aborted": 0, "unknown": [id]}


def openai_id(line: str) -> str:
    return line.partition('"id":"')[2].partition('"')[0]


@pytest.mark.parametrize("stream", [False, True])
def test_openai_s_client_raises_and_does_not_ask_again(operated: Server, stream: bool) -> None:
    client = openai.OpenAI(base_url=f"{operated.url}/v1", api_key="none", max_retries=3)
    before = operated.metrics()[by_admin]

    def ask() -> None:
        body = {k: v for k, v in endless.items() if k != "ignore_eos"}
        extra = {"ignore_eos": True}
        answer = client.completions.create(model="byte-model", stream=stream, extra_body=extra, **body)
        list(answer)

    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(ask)
        wait_for(lambda: operated.metrics()["headway:running"] == 1)
        assert abort(operated, all=True)["aborted"] == 1
        with pytest.raises(openai.APIError, match="an operator ended this request"):
            asked.result()
    assert operated.metrics()[by_admin] == before + 1


def test_a_class_is_ended_and_no_other(operated: Server) -> None:
    with (
        open_streams(operated, 2, service_tier="flex") as batch,
        open_streams(operated, 1, max_tokens=40) as (chatting,),
    ):
        assert abort(operated, **{"class": "batch"}) == {"aborted": 2, "unknown": []}
        assert [events_of(stream)[-1]["error"]["code"] for stream in batch] == ["aborted"] * 2
        assert events_of(chatting)[-1]["choices"][0]["finish_reason"] == "length"


def test_a_class_that_was_withdrawn_still_names_those_who_have_it(operated: Server) -> None:
    def retune(**fields: Any) -> None:
        answer = operated.post("/v1/slo", {**fields, "rollback": False}, headers=admin)
        assert answer.status_code == 200

    retune(classes="gone:ttft=9s")
    with open_streams(operated, 1, service_tier="gone") as (stream,):
        retune(remove=["gone"])
        assert abort(operated, **{"class": "gone"})["aborted"] == 1
        assert events_of(stream)[-1]["error"]["code"] == "aborted"


def test_those_that_wait_and_none_that_has_begun(operated: Server) -> None:
    with open_streams(operated, 4, max_tokens=150) as begun:
        wait_for(lambda: operated.metrics()["headway:running"] == 4)
        with open_streams(operated, 3) as queued:
            wait_for(lambda: operated.metrics()["headway:waiting"] == 3)
            assert abort(operated, all=True, state="waiting") == {"aborted": 3, "unknown": []}
            for stream in queued:
                assert [list(event) for event in events_of(stream)] == [["error"]]
        assert [events_of(s)[-1]["choices"][0]["finish_reason"] for s in begun] == ["length"] * 4


def test_all_of_several_prompts_and_choices_end_together(operated: Server) -> None:
    before = operated.metrics()[by_admin]
    with asking(operated, endless | {"prompt": ["a", "b"], "n": 3}, x_request_id="six") as answer:
        wait_for(lambda: operated.metrics()["headway:running"] == 4)
        assert abort(operated, ids=["six"])["aborted"] == 1
        assert answer.result().status_code == 503
    wait_for(lambda: operated.metrics()[by_admin] == before + 6)


def test_when_nothing_is_open_nothing_is_ended(operated: Server) -> None:
    assert abort(operated, all=True) == {"aborted": 0, "unknown": []}
    assert abort(operated, **{"class": "chat"}) == {"aborted": 0, "unknown": []}
    assert abort(operated, ids=["a", "b"]) == {"aborted": 0, "unknown": ["a", "b"]}


def test_a_node_is_drained_emptied_and_put_back() -> None:
    with scripted_server({"admin_key": "master"}, Scripted(step_s=0.01, max_seqs=2)) as server:
        with open_streams(server, 5) as streams:
            assert drain(server)["open"] == 5
            assert abort(server, all=True)["aborted"] == 5
            assert {events_of(stream)[-1]["error"]["code"] for stream in streams} == {"aborted"}
            wait_for(lambda: drain(server)["open"] == 0)
        assert_whole(server)
        drain(server, {"cancel": True})
        answer = server.post("/v1/completions", {"prompt": "next", "temperature": 0})
        assert answer.json()["choices"][0]["text"] == "next"


def test_what_would_hold_a_shutdown_up_can_be_ended() -> None:
    settings = {"admin_key": "master", "shutdown_timeout_s": 600.0}
    with scripted_server(settings, Scripted(step_s=0.2)) as server, open_streams(server, 2):
        server.terminate()
        wait_for(lambda: server.get("/ready").status_code == 503)
        assert abort(server, all=True)["aborted"] == 2
        assert server.wait() == 0


def test_while_the_engine_hangs_clients_are_told_and_their_blocks_come_back_when_it_goes_on() -> None:
    settings = {"admin_key": "master"}
    with scripted_server(settings, Scripted(step_s=0.01)) as server, open_streams(server, 2) as streams:
        os.kill(server.engine_pid, signal.SIGSTOP)
        try:
            wait_for(lambda: server.get("/ready").json()["status"] == "hung")
            assert abort(server, all=True)["aborted"] == 2
            assert {events_of(stream)[-1]["error"]["code"] for stream in streams} == {"aborted"}
        finally:
            os.kill(server.engine_pid, signal.SIGCONT)
        wait_for(lambda: idle(server))
        assert_whole(server)
        assert server.metrics()[by_admin] == 2


# ---- who may, and how it is asked


def test_without_an_admin_key_the_route_says_how_to_enable_it(server: Server) -> None:
    for headers in ({}, admin):
        answer = server.post("/v1/abort", {"all": True}, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "admin_disabled")


@pytest.mark.parametrize("given", [None, "Bearer wrong", "Basic master"])
def test_without_the_key_it_is_a_401_and_nothing_is_ended(operated: Server, given: str | None) -> None:
    headers = {} if given is None else {"authorization": given}
    with open_streams(operated, 1, max_tokens=20) as (stream,):
        answer = operated.post_raw("/v1/abort", b'{"all": true}', **headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "admin_key")
        assert events_of(stream)[-1]["choices"][0]["finish_reason"] == "length"


only_one = "one of ids, class and all"


@pytest.mark.parametrize(
    ("content", "param", "words"),
    [
        ("", None, "not valid JSON"),
        ("[]", None, "not an object"),
        ('{"all": true, "all": true}', None, "stands twice"),
        ("{}", "ids", only_one),
        ('{"all": false}', "ids", only_one),
        ('{"all": true, "ids": ["a"]}', "ids", only_one),
        ('{"class": "chat", "ids": ["a"]}', "ids", only_one),
        ('{"class": "chat", "all": true}', "ids", only_one),
        ('{"state": "waiting"}', "ids", only_one),
        ('{"all": 1}', "all", "true or false"),
        ('{"all": "true"}', "all", "true or false"),
        ('{"ids": []}', "ids", "a list of 1 to 1,024"),
        ('{"ids": "a"}', "ids", "a list of 1 to 1,024"),
        ('{"ids": [1]}', "ids[0]", "a list of 1 to 1,024"),
        ('{"ids": [""]}', "ids[0]", "a list of 1 to 1,024"),
        ('{"ids": [' + '"a",' * 1024 + '"a"]}', "ids", "a list of 1 to 1,024"),
        ('{"ids": ["' + "a" * 513 + '"]}', "ids[0]", "a list of 1 to 1,024"),
        ('{"class": "bronze"}', "class", "'bronze' is no class; there are chat, interactive, batch"),
        ('{"class": ""}', "class", "the name of a service class"),
        ('{"class": ["chat"]}', "class", "the name of a service class"),
        ('{"service_class": "chat"}', "service_class", "no such field; there are ids, class, all, state"),
        ('{"all": true, "state": "running"}', "state", "must be waiting"),
        ('{"all": true, "state": true}', "state", "must be waiting"),
        ('{"all": true, "force": true}', "force", "no such field"),
    ],
)
def test_what_is_wrong_is_a_400_that_names_it_and_ends_nothing(
    operated: Server, content: str, param: str | None, words: str
) -> None:
    before = operated.metrics()[by_admin]
    answer = operated.post_raw("/v1/abort", content.encode(), **admin)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param), answer.text
    assert words in answer.json()["error"]["message"]
    assert len(answer.json()["error"]["message"]) < 400
    assert operated.metrics()[by_admin] == before
