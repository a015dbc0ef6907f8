"""`headway capacity` on a device that is simulated, on a server, and on what is none."""

import json
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import pytest
from mock_server import Mock, Write

from tests.cli.test_bench_online import serving
from tests.cli.test_commands import headway, last_line


def test_a_devices_capacity_has_an_interval_and_a_target_that_binds(tmp_path: Path) -> None:
    page = tmp_path / "capacity.html"
    flags = ("mistral-7b", "--device", "a100-80", "--class", "chat:ttft=1s,itl=100ms", "--trials", "12")
    result = headway("capacity", *flags, "--requests", "60", "--guess", "4", "--html", str(page), "--json")
    answer = last_line(result)
    low, high = answer["interval"]
    assert (low or 0.0) < answer["capacity"] < (high or inf)
    assert answer["binds"]["class"] == "chat"
    assert len(answer["trials"]) == 12
    assert "trial 12 of 12" in result.stderr
    assert "Attainment by rate" in page.read_text()


def test_a_server_that_is_too_slow_for_the_promise_holds_no_rate() -> None:
    with serving(Mock(0.05, 0.001)) as url:
        flags = ("--class", "chat:ttft=20ms", "--workload", "8:4", "--guess", "3000", "--trials", "8")
        result = headway("capacity", url, *flags, "--requests", "50", "--json")
    answer = last_line(result)
    assert answer["capacity"] == 0.0
    assert answer["binds"] == {"class": "chat", "target": "ttft"}
    assert "no rate holds" in result.stdout


@dataclass
class Failing(Mock):
    answers: int = 70  # then it fails

    async def respond(self, request: dict[str, Any], write: Write) -> None:
        self.answers -= 1
        if self.answers < 0:
            write(b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n")
        else:
            await super().respond(request, write)


def test_a_server_that_answers_nobody_any_more_is_an_error_not_a_capacity() -> None:
    with serving(Failing(0.001, 0.0001)) as url:
        flags = ("--mix", "chat=1", "--workload", "8:4", "--guess", "200", "--requests", "50", "--json")
        result = headway("capacity", url, *flags)
    assert result.exit_code == 2
    assert "nobody was answered" in json.loads(result.stdout.splitlines()[-1])["error"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("smollm2", "--device", "a100-80", "--profile", "none.json"), "--device: it says nothing here"),
        (("http://127.0.0.1:9", "--tp", "2"), "--tp"),
        (("mistral-7b", "--device", "a100-80", "--html", "/nowhere/at/all.html"), "--html"),
        (("http://127.0.0.1:9", "--policy", "adaptive"), "--policy"),
        (("mistral-7b", "--device", "abacus"), "abacus"),
        (("mistral-7b", "--device", "a100-80", "--policy", "lucky"), "--policy"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(flags: tuple[str, ...], said: str) -> None:
    result = headway("capacity", *flags, "--json")
    assert result.exit_code == 2
    assert said in json.loads(result.stdout.splitlines()[-1])["error"]
