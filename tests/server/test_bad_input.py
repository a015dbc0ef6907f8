"""Bad input: a clear 4xx that names the field, nothing of our inside, and the next request as good as any."""

import json
from typing import Any

import httpx
import pytest

from tests.server.bad_input import Bad, Raw, chat, completions, generate, good, table
from tests.server.scripted_server import Server


def encode(value: Any) -> str:
    """JSON with the raw numbers in it."""
    if isinstance(value, Raw):
        return value.json
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)}: {encode(v)}" for k, v in value.items()) + "}"
    return json.dumps(value)


def named(bad: Bad) -> str:
    text = encode(bad.value)
    return f"{bad.field}={text if len(text) < 40 else text[:30] + f'...{len(text)}'}"


def error_of(answer: httpx.Response) -> dict[str, Any]:
    """The error, checked for its shape and for what must not be in it."""
    body = answer.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert len(answer.content) < 1_000
    assert not any(word in answer.text for word in ("Traceback", "pydantic", ".py", "headway."))
    return dict(body["error"])


def assert_unharmed(server: Server) -> None:
    answer = server.post(completions, {"prompt": "still here", "temperature": 0})
    assert answer.json()["choices"][0]["text"] == "still here"


@pytest.mark.parametrize("bad", table, ids=named)
def test_a_bad_field_is_a_400_that_names_it(server: Server, bad: Bad) -> None:
    for endpoint in bad.endpoints:
        body = {**good[endpoint], **(bad.others or {}), bad.field: bad.value}
        answer = server.post_raw(endpoint, encode(body).encode())
        assert answer.status_code == 400, answer.text
        error = error_of(answer)
        named = bad.param or bad.field
        assert error["param"] == named or error["param"].startswith((f"{named}[", f"{named}."))
        assert named in error["message"] or bad.field in error["message"]
        assert error["type"] == "invalid_request_error"
    assert_unharmed(server)


@pytest.mark.parametrize("endpoint", generate)
def test_a_range_error_says_the_range(server: Server, endpoint: str) -> None:
    error = error_of(server.post(endpoint, {**good[endpoint], "n": 0}))
    assert error["param"] == "n"
    assert "from 1 to 128" in error["message"]


def test_too_long_is_a_400_with_both_numbers_and_exactly_full_works(server: Server) -> None:
    body = {"prompt": "a" * 500, "temperature": 0, "ignore_eos": True}
    error = error_of(server.post(completions, {**body, "max_tokens": 13}))
    assert error["code"] == "context_length_exceeded"
    assert all(number in error["message"] for number in ("500", "13", "513", "512"))
    answer = server.post(completions, {**body, "max_tokens": 12}).json()
    assert answer["usage"]["total_tokens"] == 512


def test_more_tokens_than_the_context_are_not_written_out(server: Server) -> None:
    error = error_of(server.post("/detokenize", {"tokens": [97] * 513}))
    assert error["code"] == "context_length_exceeded"
    assert all(number in error["message"] for number in ("513", "512"))
    assert server.post("/detokenize", {"tokens": [97] * 512}).json() == {"prompt": "a" * 512}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b'{"prompt": "a"',
        b'{"prompt": "a"}}',
        b"[]",
        b'"prompt"',
        b"null",
        b'\xef\xbb\xbf{"prompt": "a"}',
        b'{"prompt": "\xff"}',
        '{"prompt": "a"}'.encode("utf-16"),
        b'{"prompt": "a", "prompt": "b"}',
        b'{"prompt": "a", "temperature": NaN}',
        b'{"prompt": "a", "temperature": -Infinity}',
        b'{"prompt": "a", "seed": ' + b"9" * 5_000 + b"}",
        b'{"prompt": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"x": ' * 100_000 + b"1" + b"}" * 100_000,
        rb'{"prompt": "\ud800"}',
        rb'{"prompt": "a", "user": "\udc00 \ud83d\ude00"}',
    ],
    ids=lambda data: repr(data[:40]),
)
@pytest.mark.parametrize("endpoint", [*generate, "/tokenize", "/detokenize"])
def test_what_is_no_json_object_is_a_400(server: Server, endpoint: str, data: bytes) -> None:
    answer = server.post_raw(endpoint, data)
    assert answer.status_code == 400
    assert error_of(answer)["code"] == "invalid_json"


def test_a_nul_in_a_prompt_is_a_character(server: Server) -> None:
    answer = server.post_raw(completions, rb'{"prompt": "a\u0000b", "temperature": 0}')
    assert answer.json()["choices"][0]["text"] == "a\0b"


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "", "application/json; charset=latin-1"])
def test_another_content_type_is_a_415(server: Server, kind: str) -> None:
    answer = server.post_raw(completions, b'{"prompt": "a"}', content_type=kind)
    assert answer.status_code == 415
    error_of(answer)


def test_a_compressed_body_is_a_415(server: Server) -> None:
    assert server.post_raw(completions, b"\x1f\x8b", content_encoding="gzip").status_code == 415


@pytest.mark.parametrize("value", ["-1", "0", "1e18", "NaN", "inf", "abc", ""])
@pytest.mark.parametrize("name", ["x-slo-ttft-ms", "x-slo-tpot-ms", "x-llm-d-slo-ttft-ms"])
@pytest.mark.parametrize("endpoint", generate)
def test_a_bad_slo_header_is_a_400(server: Server, endpoint: str, name: str, value: str) -> None:
    answer = server.post(endpoint, good[endpoint], headers={name: value})
    assert answer.status_code == 400
    assert name in error_of(answer)["message"]


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/tokenize", {}, "prompt"),
        ("/tokenize", {"prompt": "a", "messages": good[chat]["messages"]}, "prompt"),
        ("/tokenize", {"prompt": 5}, "prompt"),
        ("/tokenize", {"prompt": "a" * 1_000_000}, "prompt"),
        ("/detokenize", {}, "tokens"),
        ("/detokenize", {"tokens": [258]}, "tokens"),
        ("/detokenize", {"tokens": [-1]}, "tokens"),
        ("/detokenize", {"tokens": [True]}, "tokens[0]"),
        ("/detokenize", {"tokens": [-1] * 513}, "tokens"),
    ],
)
def test_the_text_endpoints_refuse_by_name_too(
    server: Server, path: str, body: dict[str, Any], param: str
) -> None:
    answer = server.post(path, body)
    assert answer.status_code == 400
    assert error_of(answer)["param"] == param


@pytest.mark.parametrize("endpoint", generate)
def test_another_model_is_a_404(server: Server, endpoint: str) -> None:
    answer = server.post(endpoint, {**good[endpoint], "model": "another"})
    assert (answer.status_code, error_of(answer)["code"]) == (404, "model_not_found")


@pytest.mark.parametrize("endpoint", generate)
def test_fields_that_ask_for_nothing_are_let_in(server: Server, endpoint: str) -> None:
    neutral = {"tools": [], "response_format": {"type": "text"}, "suffix": None, "store": False, "n": None}
    answer = server.post(endpoint, {**good[endpoint], **neutral, "max_tokens": 1, "metadata": {"a": "b"}})
    assert answer.status_code == 200
    assert "x-headway-warning" not in answer.headers


@pytest.mark.parametrize("endpoint", generate)
def test_unknown_fields_are_let_in_and_named_once(server: Server, endpoint: str) -> None:
    unknown = {"frobnicate": 1, "evil\r\nx: y": 2, "\r\n": 3}
    answer = server.post(endpoint, {**good[endpoint], **unknown, "max_tokens": 1})
    assert answer.status_code == 200
    assert answer.headers["x-headway-warning"] == "unknown fields: ?, evilx:y, frobnicate"


def test_special_tokens_and_the_answers_beginning_are_left_out_where_asked(server: Server) -> None:
    ask = {"messages": good[chat]["messages"], "temperature": 0, "ignore_eos": True, "max_tokens": 6}
    assert server.post(chat, ask).json()["choices"][0]["message"]["content"] == "hello>"
    bare = server.post(chat, {**ask, "add_generation_prompt": False}).json()
    assert bare["choices"][0]["message"]["content"] == "hello "
    assert bare["usage"]["prompt_tokens"] == 5


def test_a_negative_seed_is_a_seed(server: Server) -> None:
    drawn = [
        server.post(completions, {"prompt": "a", "seed": seed, "max_tokens": 32}).json()["choices"][0]["text"]
        for seed in (-1, -1, -2, -(2**63))
    ]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) == 3
