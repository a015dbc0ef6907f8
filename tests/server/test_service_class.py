"""A request's class: who says it, what it may loosen, and how an answer tells the one that was used."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from openai.types.chat import ChatCompletion
from starlette.datastructures import Headers

from headway.classes import read_classes, tier_words
from headway.core.slo import Targets
from headway.server.errors import ApiError
from headway.server.schema import Chat, Completion, Generate
from headway.server.service_class import TIERS, AskedClass, Defaults, asked_class
from tests.server.scripted_engine import Scripted
from tests.server.scripted_server import Server, scripted_server
from tests.server.streams import events_of, open_streams
from tests.server.strict_openai import strictly

classes = read_classes("gold:ttft=200ms,itl=40ms")
none = Defaults()
hello = [{"role": "user", "content": "hello"}]


def chat(**fields: Any) -> Chat:
    return Chat.model_validate({"messages": hello, **fields})


def asked(
    body: Generate, defaults: Defaults = none, *, may_tighten: bool = False, **headers: str
) -> AskedClass:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return asked_class(body, Headers(named), classes, defaults, may_tighten=may_tighten)


@pytest.mark.parametrize(
    ("fields", "name", "tier"),
    [
        ({"service_tier": "flex"}, "batch", "flex"),
        ({"service_tier": "scale"}, "interactive", "scale"),
        ({"service_tier": "priority"}, "chat", "priority"),
        ({"service_tier": "fast"}, "chat", "fast"),
        ({"service_tier": "gold"}, "gold", "default"),
        ({"service_tier": "batch"}, "batch", "flex"),
        ({"service_tier": "auto", "priority": 1}, "batch", "flex"),
        ({"service_tier": "default", "priority": -1}, "chat", "default"),
        ({"priority": 7}, "batch", "flex"),
        ({"priority": 0, "stream": True}, "chat", "default"),
        ({"service_tier": "flex", "priority": -1, "stream": True}, "batch", "flex"),
        ({"stream": True, "max_tokens": 10}, "chat", "default"),
        ({"max_tokens": 256}, "interactive", "default"),
        ({"max_tokens": 257}, "chat", "default"),
        ({"max_tokens": 10, "max_completion_tokens": 1000}, "chat", "default"),
        ({}, "chat", "default"),
    ],
)
def test_what_a_body_says_is_a_class_by_one_table(fields: dict[str, Any], name: str, tier: str) -> None:
    found = asked(chat(**fields))
    assert (found.name, found.tier_of(found.name)) == (name, tier)


def test_a_completion_without_a_length_is_short() -> None:
    assert asked(Completion.model_validate({"prompt": "a"})).name == "interactive"


def test_defaults_come_after_the_body_and_before_what_is_known_on_arrival() -> None:
    batch = Defaults(server="batch")
    by_default = asked(chat(stream=True), batch)
    assert (by_default.name, by_default.tier_of("batch")) == ("batch", "flex")
    assert asked(chat(service_tier="gold"), batch).name == "gold"
    assert asked(chat(priority=-5), batch).name == "chat"


@pytest.mark.parametrize(
    ("defaults", "name"),
    [
        (Defaults("gold", "interactive", "batch"), "gold"),
        (Defaults(None, "interactive", "batch"), "interactive"),
        (Defaults("gold", None, "batch"), "gold"),
        (Defaults(None, None, "batch"), "batch"),
    ],
)
def test_of_the_defaults_the_alias_is_first_then_the_key_then_the_servers(
    defaults: Defaults, name: str
) -> None:
    assert asked(chat(), defaults).name == name
    assert asked(chat(service_tier="priority"), defaults).name == "chat"
    assert asked(chat(priority=-1), defaults).name == "chat"


def test_an_unknown_tier_is_told_all_names() -> None:
    with pytest.raises(
        ApiError, match="auto, default, flex, scale, priority, fast, chat, interactive, batch, gold"
    ):
        asked(chat(service_tier="silver"))


def test_no_class_can_be_named_like_a_tier() -> None:
    assert set(tier_words) == set(TIERS)


@pytest.mark.parametrize("prefix", ["x_slo_", "x_llm_d_slo_"])
def test_headers_may_loosen_what_the_class_promises(prefix: str) -> None:
    found = asked(chat(stream=True), **{f"{prefix}ttft_ms": "900", f"{prefix}tpot_ms": "250.5"})
    assert found == AskedClass("chat", Targets(ttft_s=0.9, itl_s=0.2505), "default")


def test_a_header_that_says_what_is_promised_anyway_is_let_through() -> None:
    assert asked(chat(stream=True), x_slo_ttft_ms="300").own.ttft_s == 0.3


def test_a_header_that_tightens_is_told_both_numbers() -> None:
    with pytest.raises(ApiError, match="200 ms is tighter than the 300 ms of class chat") as refused:
        asked(chat(stream=True), x_slo_ttft_ms="200")
    assert (refused.value.status, refused.value.param) == (400, "x-slo-ttft-ms")


def test_with_a_key_that_may_a_header_tightens() -> None:
    found = asked(chat(stream=True), may_tighten=True, x_slo_ttft_ms="200", x_slo_tpot_ms="1")
    assert found.own == Targets(ttft_s=0.2, itl_s=0.001)


@pytest.mark.parametrize("may_tighten", [False, True])
def test_a_header_makes_no_promise_where_the_class_has_none(may_tighten: bool) -> None:
    with pytest.raises(ApiError, match="class batch promises nothing there"):
        asked(chat(service_tier="flex"), may_tighten=may_tighten, x_slo_ttft_ms="9000")


@pytest.mark.parametrize("value", ["0.9", "0", "-1", "1e308", "inf", "nan", "", "ten", "1e-9", "9" * 400])
def test_a_header_out_of_bounds_is_told_them(value: str) -> None:
    with pytest.raises(ApiError, match="milliseconds from 1 to 1000000000"):
        asked(chat(stream=True), may_tighten=True, x_slo_ttft_ms=value)


# ---- over HTTP


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_says_which_class_it_was_served_as(server: Server, stream: bool) -> None:
    body = {"messages": hello, "service_tier": "batch", "stream": stream}
    answer = server.post("/v1/chat/completions", body)
    assert answer.headers["x-headway-class"] == "batch"
    assert "x-headway-downgraded-from" not in answer.headers
    pieces = events_of(answer) if stream else [strictly(ChatCompletion, answer.json()).model_dump()]
    assert {piece["service_tier"] for piece in pieces} == {"flex"}


def test_a_plain_completion_says_it_in_the_header_alone(server: Server) -> None:
    answer = server.post("/v1/completions", {"prompt": "a", "priority": 3})
    assert answer.headers["x-headway-class"] == "batch"
    assert "service_tier" not in answer.json()


@pytest.fixture(scope="module")
def led() -> Iterator[Server]:
    aliases, keys = {"org/nightly": "batch"}, {"sesame": "interactive", "open": "batch"}
    settings = {"api_key": "plain", "aliases": aliases, "class_keys": keys, "default_class": "chat"}
    with scripted_server(settings) as server:
        yield server


@pytest.mark.parametrize(
    ("key", "fields", "name"),
    [
        ("plain", {}, "chat"),
        ("plain", {"model": "byte-model"}, "chat"),
        ("plain", {"model": "org/nightly"}, "batch"),
        ("sesame", {}, "interactive"),
        ("open", {}, "batch"),
        ("sesame", {"model": "org/nightly"}, "batch"),
        ("sesame", {"model": "org/nightly", "service_tier": "priority"}, "chat"),
        ("sesame", {"priority": 1}, "batch"),
    ],
)
def test_a_name_and_a_key_lead_to_a_class(led: Server, key: str, fields: dict[str, Any], name: str) -> None:
    headers = {"authorization": f"Bearer {key}"}
    answer = led.post("/v1/completions", {"prompt": "a", **fields}, headers=headers)
    assert answer.headers["x-headway-class"] == name
    assert answer.json()["model"] == fields.get("model", "byte-model")


def test_an_alias_is_listed_as_the_model_that_it_is(led: Server) -> None:
    headers = {"authorization": "Bearer plain"}
    cards = led.get("/v1/models", headers=headers).json()["data"]
    assert [(card["id"], card["root"]) for card in cards] == [
        ("byte-model", "byte-model"),
        ("org/nightly", "byte-model"),
    ]
    assert led.get("/v1/models/org/nightly", headers=headers).json() == cards[1]
    told = led.get("/v1/models/other", headers=headers).json()["error"]["message"]
    assert told == "the model 'other' is not served here; 'byte-model' or 'org/nightly' is"
    words = {"model": "org/nightly", "prompt": "a"}
    assert led.post("/tokenize", words, headers=headers).status_code == 200


def test_a_tightening_header_is_a_400(server: Server) -> None:
    answer = server.post("/v1/chat/completions", {"messages": hello}, headers={"x-slo-tpot-ms": "1"})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "x-slo-tpot-ms"


overloaded = Scripted(
    step_s=0.02,
    max_seqs=1,
    policy="adaptive",
    classes="strict:ttft=1s,on-overload=refuse;meek:ttft=1s,on-overload=downgrade:batch;"
    "hasty:max-wait=50ms,level=50",
)


@pytest.fixture(scope="module")
def busy() -> Iterator[Server]:
    """Somebody streams, and one is all that runs at a time; another has waited for long enough to tell."""
    with scripted_server(scripted=overloaded) as server, open_streams(server, 2):
        time.sleep(0.5)
        yield server


@pytest.mark.parametrize("stream", [False, True])
def test_what_would_come_too_late_is_a_429_that_says_when_to_come_again(busy: Server, stream: bool) -> None:
    body = {"prompt": "a" * 400, "service_tier": "strict", "stream": stream}
    answer = busy.post("/v1/completions", body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "overloaded")
    assert int(answer.headers["retry-after"]) >= 1
    assert "class strict" in answer.json()["error"]["message"]


def test_what_has_waited_for_as_long_as_its_class_allows_is_a_504(busy: Server) -> None:
    answer = busy.post("/v1/completions", {"prompt": "a", "service_tier": "hasty"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "expired")


def test_a_stream_that_expires_has_begun_and_ends_with_the_error(busy: Server) -> None:
    answer = busy.post("/v1/completions", {"prompt": "a", "service_tier": "hasty", "stream": True})
    assert answer.status_code == 200
    assert [event["error"]["code"] for event in events_of(answer)] == ["expired"]


def test_a_downgrade_is_seen() -> None:
    body = {"messages": [{"role": "user", "content": "a" * 400}], "service_tier": "meek", "max_tokens": 2}
    with scripted_server(scripted=overloaded) as server, open_streams(server, 2, max_tokens=60):
        time.sleep(0.5)
        answer = server.post("/v1/chat/completions", body)
    assert answer.headers["x-headway-class"] == "batch"
    assert answer.headers["x-headway-downgraded-from"] == "meek"
    assert answer.json()["service_tier"] == "flex"
