"""`headway bench URL` on servers of several kinds: what it finds out, what it reports, what it refuses."""

import asyncio
import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from mock_server import Mock

from tests.cli.test_commands import headway, last_line
from tests.server.scripted_server import scripted_server

short = ("--workload", "10-40:4-8", "--rate", "40", "--seconds", "1", "--warm-up", "0", "--json")


@contextmanager
def serving(mock: Mock) -> Iterator[str]:
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(mock.serve, "127.0.0.1", 0))
    thread = Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left))
        loop.close()


def bench(mock: Mock, *arguments: str) -> Any:
    with serving(mock) as url:
        return headway("bench", url, *arguments)


def test_a_run_is_reported_by_class_and_by_request(tmp_path: Path) -> None:
    page, lines = tmp_path / "run.html", tmp_path / "run.csv"
    mix = ("--mix", "chat=0.7,batch=0.3", "--class", "chat:ttft=5s,itl=5s")
    result = bench(Mock(0.02, 0.005), *short, *mix, "--html", str(page), "--csv", str(lines))
    answer = last_line(result)
    assert (answer["model"], answer["dialect"]) == ("mock", "mock, vLLM's fields")
    assert answer["failed"] == 0
    assert answer["successful"] == answer["ttft_s"]["count"] > 20
    assert answer["classes"]["chat"]["attainment"] == 1.0
    assert set(answer["classes"]) == {"chat", "batch"}
    assert answer["ttft_s"]["p50"] >= 0.02
    assert answer["requested_rate"] == pytest.approx(40, rel=0.5)
    assert (answer["tokens_without_a_time"], answer["tokens_told_otherwise"]) == (0, 0)
    assert "P95 TTFT (ms):" in result.stdout
    rows = list(csv.DictReader(lines.read_text().splitlines()))
    assert len(rows) == answer["successful"]
    assert sum(int(row["output_tokens"]) for row in rows) == answer["output_tokens"]
    assert all(float(row["intended_s"]) <= float(row["dispatched_s"]) for row in rows)
    assert all(word in page.read_text() for word in ("Single requests", "Between tokens", "kept up"))


def test_the_closed_loop_asks_for_so_many_at_a_time() -> None:
    flags = ("--concurrency", "3", "--requests", "9", "--workload", "10:5", "--json", "--warm-up", "0")
    answer = last_line(bench(Mock(0.05, 0.0), *flags))
    assert (answer["concurrency"], answer["successful"]) == (3, 9)
    assert answer["duration_s"] >= 0.15


def test_a_server_that_takes_openai_s_fields_alone_is_asked_in_them() -> None:
    answer = last_line(bench(Mock(strict=True), *short, "--endpoint", "chat"))
    assert answer["dialect"] == "mock, OpenAI's fields alone"
    assert answer["failed"] == 0


def test_tokens_that_come_together_are_told(tmp_path: Path) -> None:
    result = bench(Mock(counts=False, per_event=2), *short)
    assert last_line(result)["tokens_without_a_time"] > 0
    assert "tokens came without a time of their own" in result.stderr


def test_what_fails_is_counted_and_said() -> None:
    mock = Mock(first_s=0.05, gap_s=0.3)
    answer = last_line(result := bench(mock, *short, "--drain", "0.5"))
    assert answer["failed"] > 0
    assert answer["errors"] == {"cut off at the end of the run": answer["failed"]}
    assert f"headway: {answer['failed']} requests failed: cut off at the end of the run" in result.stderr
    assert answer["successful"] + answer["failed"] == answer["classes"]["chat"]["requests"]


def test_our_own_server_is_asked_by_class_and_judged_by_what_it_promises() -> None:
    with scripted_server() as server:
        answer = last_line(headway("bench", "online", server.url, *short, "--workload", "2-4:4", "--text"))
        assert answer["dialect"].endswith("Headway")
        assert answer["failed"] == 0
        assert server.metrics()
    assert set(answer["classes"]) == {"chat"}


def test_every_request_is_written_though_none_was_answered(tmp_path: Path) -> None:
    lines = tmp_path / "run.csv"
    answer = last_line(bench(Mock(first_s=1.5), *short, "--drain", "0", "--csv", str(lines), "--model", "m"))
    assert answer["successful"] == 0
    assert answer["ttft_s"] is None
    assert len(lines.read_text().splitlines()) == answer["failed"] + 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("http://127.0.0.1:9",), "127.0.0.1:9: [Errno 111] Connection refused"),
        (("http://",), "http://: no address such as http://127.0.0.1:8000"),
        (("http://127.0.0.1:9", "--concurrency", "2", "--rate", "3"), "--concurrency: who waits"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(arguments: tuple[str, ...], said: str) -> None:
    result = headway("bench", *arguments, "--json")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"headway: {said}")
    assert result.stderr.count("\n") == 1
    assert "error" in json.loads(result.stdout.splitlines()[-1])


def test_a_server_that_is_something_else_is_refused() -> None:
    class Web(Mock):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")
            writer.close()

    result = bench(Web(), *short)
    assert result.exit_code == 2
    assert "it names no model" in result.stderr
