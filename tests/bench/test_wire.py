"""What goes over the wire: the fields that are sent, and an answer's tokens however they are told."""

import json
from dataclasses import replace
from typing import Any

import pytest

from headway.bench.wire import HEADWAY, PLAIN, WIDE, Api, Asked, BadTarget, Reading, read_target

HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
)
END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def event(**fields: Any) -> bytes:
    return chunk(b"data: " + json.dumps(fields).encode() + b"\n\n")


def token(text: str = "a", count: int | None = None, reason: str | None = None, **more: Any) -> bytes:
    usage = None if count is None else {"prompt_tokens": 9, "completion_tokens": count}
    return event(choices=[{"text": text, "finish_reason": reason}], usage=usage, **more)


DONE = chunk(b"data: [DONE]\n\n")


def read(*pieces: bytes) -> Reading:
    reading = Reading()
    for piece in pieces:
        reading.feed(piece)
    return reading


@pytest.mark.parametrize("size", [1, 2, 7, 64, 100_000])
def test_a_stream_is_read_alike_however_it_is_cut(size: int) -> None:
    stream = HEAD + token(count=1) + chunk(b": ping\n\n") + token(count=3)
    stream += token('{"completion_tokens":99}', 4, "length") + DONE + END
    reading, seen = Reading(), list[int]()
    for start in range(0, len(stream), size):
        reading.feed(stream[start : start + size])
        seen.append(reading.tokens)
    assert seen == sorted(seen)
    assert (reading.status, reading.tokens, reading.chunks, reading.surplus) == (200, 4, 3, 0)
    assert (reading.finished, reading.over, reading.error) == (True, True, "")


def test_an_event_in_two_chunks_and_lines_that_end_with_cr_are_read() -> None:
    data = b'data: {"choices": [{"text": "a"}]}\r\n\r\n'
    reading = read(HEAD, chunk(data[:9]), chunk(data[9:-1]), chunk(data[-1:]), DONE)
    assert (reading.tokens, reading.finished, reading.error) == (1, True, "")


def test_a_token_without_text_is_counted_where_the_server_counts() -> None:
    assert read(HEAD, token("", 1), token("\u00e9", 2)).tokens == 2


def test_a_chat_s_role_is_no_token() -> None:
    role = event(choices=[{"delta": {"role": "assistant", "content": ""}}])
    reading = read(HEAD, role, event(choices=[{"delta": {"content": "a"}}]))
    assert (reading.tokens, reading.chunks) == (1, 1)
    assert read(HEAD, role, event(choices=[{"delta": {"reasoning_content": "hm"}}])).tokens == 1


def test_without_counts_every_event_with_text_is_a_token_and_the_end_tells_of_the_others() -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 5}
    reading = read(HEAD, token(), token("bc"), token("", reason="stop"), event(choices=[], usage=usage), DONE)
    assert (reading.tokens, reading.surplus, reading.finished) == (2, 3, True)


def test_a_count_with_the_last_event_alone_is_not_taken_for_one_with_each() -> None:
    reading = read(HEAD, token(), token(), token(count=7, reason="stop"), DONE)
    assert (reading.tokens, reading.surplus) == (3, 4)


def test_the_last_event_tells_how_long_our_engine_took() -> None:
    timings = {"queue_ms": 0.0, "host_ms": 2.0, "total_ms": 127.0}
    reading = read(HEAD, token('"timings":{"host_ms":1,"total_ms":9}', 1))
    assert reading.in_engine_s is None
    reading.feed(event(choices=[], usage={"completion_tokens": 1}, timings=timings) + DONE)
    assert reading.in_engine_s == 0.125


def test_another_server_s_timings_are_its_own_affair() -> None:
    reading = read(HEAD, token(timings={"prompt_n": 4, "predicted_ms": 12.5}), DONE)
    assert (reading.in_engine_s, reading.error) == (None, "")


def test_a_refusal_says_why_and_when_to_come_again() -> None:
    body = json.dumps({"error": {"message": "the queue\nis full", "type": "overloaded"}}).encode()
    head = f"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    reading = read(head + body[:5], body[5:])
    assert (reading.status, reading.retry_after_s, reading.finished, reading.over) == (429, 7.0, False, True)
    assert reading.error == "the queue is full"


@pytest.mark.parametrize(
    ("pieces", "error"),
    [
        ((HEAD, token(), event(error={"message": "expired", "code": 504}), DONE), "expired"),
        ((HEAD, chunk(b"data: {broken\n\n")), "an event that cannot be read"),
        ((b"SSH-2.0-OpenSSH_9.2\r\n",), "not HTTP"),
        (
            (b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}",),
            "the answer is no event stream",
        ),
    ],
)
def test_what_is_no_answer_is_an_error(pieces: tuple[bytes, ...], error: str) -> None:
    assert read(*pieces).error.startswith(error)


def test_a_body_of_any_length_is_not_kept() -> None:
    reading = read(b"HTTP/1.1 500 Oops\r\ncontent-length: 900000\r\n\r\n", *[b"x" * 90_000] * 10)
    assert (reading.status, len(reading.error)) == (500, 300)


def fields(asked: Asked, **changes: Any) -> dict[str, Any]:
    target = read_target("http://h:1", "m", api=changes.get("api", Api.COMPLETIONS), key=changes.get("key"))
    target = replace(target, dialect=changes.get("dialect", HEADWAY))
    head, _, body = target.request(asked).partition(b"\r\n\r\n")
    return {"head": head.decode().split("\r\n"), **json.loads(body)}


ids = Asked(0.0, "chat", [5, 6], 3, "salt")


def test_what_is_sent_is_what_the_server_takes() -> None:
    ours = fields(ids)
    assert ours["prompt"] == [5, 6]
    assert ours["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}
    assert (ours["ignore_eos"], ours["service_tier"], ours["cache_salt"]) == (True, "chat", "salt")
    wide = fields(ids, dialect=WIDE)
    assert wide["ignore_eos"]
    assert not {"service_tier", "cache_salt"} & set(wide)
    plain = fields(Asked(0.0, "chat", "hello", 3), dialect=PLAIN, api=Api.CHAT)
    assert plain["messages"] == [{"role": "user", "content": "hello"}]
    assert plain["stream_options"] == {"include_usage": True}
    assert not {"ignore_eos", "service_tier", "prompt"} & set(plain)


def test_the_head_names_place_length_and_key() -> None:
    head = fields(ids, key="secret")["head"]
    assert head[:2] == ["POST /v1/completions HTTP/1.1", "Host: h:1"]
    assert "Authorization: Bearer secret" in head
    assert "Connection: close" in head


@pytest.mark.parametrize(
    ("url", "host", "port", "tls", "path"),
    [
        ("http://127.0.0.1:8000", "127.0.0.1", 8000, False, "/v1"),
        ("http://127.0.0.1:8000/v1/", "127.0.0.1", 8000, False, "/v1"),
        ("https://api.example.com/llm", "api.example.com", 443, True, "/llm/v1"),
        ("http://[::1]:9", "::1", 9, False, "/v1"),
    ],
)
def test_a_url_is_read(url: str, host: str, port: int, tls: bool, path: str) -> None:
    target = read_target(url, "m")
    assert (target.host, target.port, target.tls, target.path) == (host, port, tls, path)


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://h", "http://", "http://h:99999", ""])
def test_what_is_no_url_is_refused_with_one_that_is(url: str) -> None:
    with pytest.raises(BadTarget):
        read_target(url, "m")
