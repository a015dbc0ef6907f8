"""The client over HTTP: what it reads from the wire, and when it sends."""

import asyncio
import json

import pytest

from headway.bench.load import Asked, Played, Reading, obeying, play

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
DONE = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


def event(tokens: int, text: str = "a", in_engine_s: float | None = None) -> bytes:
    chunk = {"choices": [{"text": text}], "usage": {"prompt_tokens": 9, "completion_tokens": tokens}}
    if in_engine_s is not None:
        chunk["timings"] = {"queue_ms": 0.0, "host_ms": 2.0, "total_ms": 1e3 * in_engine_s + 2.0}
    data = b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def test_a_stream_is_read_alike_however_it_is_cut() -> None:
    stream = HEAD + event(1) + b"8\r\n: ping\n\n\r\n" + event(3) + event(4, '"completion_tokens":99') + DONE
    for piece in (1, 2, 7, 64, len(stream)):
        reading, seen = Reading(), list[int]()
        for start in range(0, len(stream), piece):
            reading.feed(stream[start : start + piece])
            seen.append(reading.tokens)
        assert seen == sorted(seen)
        assert (reading.status, reading.tokens, reading.done, reading.failed) == (200, 4, True, False)


def test_the_last_event_tells_how_long_the_engine_took() -> None:
    reading = Reading()
    reading.feed(HEAD + event(1, '"timings":{"host_ms":1,"total_ms":9}') + event(2))
    assert reading.in_engine_s is None
    reading.feed(event(2, in_engine_s=0.125) + DONE)
    assert (reading.tokens, reading.in_engine_s) == (2, 0.125)


def test_a_refusal_says_when_to_come_again() -> None:
    reading = Reading()
    reading.feed(b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\ncontent-length: 2\r\n\r\n{}")
    assert (reading.status, reading.retry_after_s, reading.done) == (429, 7.0, False)


def test_an_error_in_mid_stream_is_a_failure() -> None:
    reading = Reading()
    reading.feed(HEAD + event(2) + b'20\r\ndata: {"error":{"code":"expired"}}\n\n\r\n' + DONE)
    assert (reading.tokens, reading.failed) == (2, True)


class Scripted:
    """A server that refuses so many, then gives every request the tokens that it asks for, `gap_s` apart, and
    says that its engine took `in_engine_s`.
    """

    def __init__(self, refused: int = 0, gap_s: float = 0.01, in_engine_s: float | None = None) -> None:
        self.refused, self.gap_s, self.in_engine_s = refused, gap_s, in_engine_s

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        body = json.loads(await reader.readexactly(length))
        if self.refused:
            self.refused -= 1
            writer.write(b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n")
        else:
            writer.write(HEAD)
            for token in range(body["max_tokens"]):
                await asyncio.sleep(self.gap_s)
                writer.write(event(token + 1, in_engine_s=self.in_engine_s))
            writer.write(DONE)
        writer.close()

    async def play(self, schedule: list[Asked], horizon_s: float, **fields: object) -> Played:
        server = await asyncio.start_server(self, "127.0.0.1", 0)
        async with server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            return await play(schedule, url, horizon_s, **fields)  # type: ignore[arg-type]


def asked(at_s: float, output_tokens: int = 3) -> Asked:
    return Asked(at_s, "chat", [5, 6, 7], output_tokens)


def test_each_request_is_sent_at_its_time_and_each_token_stamped() -> None:
    played = asyncio.run(Scripted().play([asked(0.0), asked(0.1), asked(0.1)], 5.0))
    assert [e.sent_s for e in played.exchanges] == pytest.approx([0.0, 0.1, 0.1], abs=0.08)
    for exchange in played.exchanges:
        assert exchange.complete
        assert len(exchange.stamps) == 3
        assert exchange.sent_s < exchange.first_byte_s <= exchange.stamps[0] < exchange.stamps[-1]
        assert exchange.answer.arrival_s == exchange.asked.at_s
        assert exchange.answer.tokens == 6


def test_what_is_unfinished_at_the_horizon_is_cut_off_and_counts_as_incomplete() -> None:
    played = asyncio.run(Scripted(gap_s=0.02).play([asked(0.0), asked(0.0, 1000)], 0.4))
    short, long = played.answers
    assert (short.complete, long.complete) == (True, False)
    assert 0 < len(long.stamps) < 1000


def test_a_client_that_obeys_comes_again_when_it_was_told_to() -> None:
    played = asyncio.run(Scripted(refused=1).play([asked(0.0)], 5.0, way=obeying))
    refused, admitted = played.exchanges
    assert (refused.status, refused.complete, admitted.complete) == (429, False, True)
    assert admitted.sent_s - refused.sent_s >= 1.0


def test_nobody_there_is_an_answer_that_failed() -> None:
    played = asyncio.run(play([asked(0.0)], "http://127.0.0.1:9", 2.0))
    assert [(e.status, e.complete) for e in played.exchanges] == [(None, False)]
