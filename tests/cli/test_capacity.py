"""`headway capacity` on a device that is simulated, on a server, and on what is none."""

import json
from pathlib import Path

import pytest
from mock_server import Mock

from tests.cli.test_bench_online import serving
from tests.cli.test_commands import headway, last_line


def test_a_devices_capacity_has_an_interval_and_a_target_that_binds(tmp_path: Path) -> None:
    page = tmp_path / "capacity.html"
    flags = ("mistral-7b", "--device", "a100-80", "--class", "chat:ttft=1s,itl=100ms", "--trials", "12")
    result = headway("capacity", *flags, "--requests", "60", "--html", str(page), "--json")
    answer = last_line(result)
    low, high = answer["interval"]
    assert low < answer["capacity"] < (high or 1e9)
    assert answer["binds"]["class"] == "chat"
    assert len(answer["trials"]) == 12
    assert "capacity" in result.stdout
    assert "Attainment by rate" in page.read_text()


def test_a_server_that_is_too_slow_for_the_promise_holds_no_rate() -> None:
    with serving(Mock(0.05, 0.001)) as url:
        flags = ("--class", "chat:ttft=20ms", "--workload", "8:4", "--guess", "200", "--trials", "8")
        result = headway("capacity", url, *flags, "--requests", "20", "--json")
    answer = last_line(result)
    assert answer["capacity"] == 0.0
    assert answer["binds"] == {"class": "chat", "target": "ttft"}
    assert "no rate holds" in result.stdout


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("smollm2", "--device", "a100-80", "--profile", "none.json"), "leave one out"),
        (("http://127.0.0.1:9", "--policy", "adaptive"), "--policy"),
        (("mistral-7b", "--device", "abacus"), "abacus"),
        (("mistral-7b", "--device", "a100-80", "--policy", "lucky"), "--policy"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(flags: tuple[str, ...], said: str) -> None:
    result = headway("capacity", *flags, "--json")
    assert result.exit_code == 2
    assert said in json.loads(result.stdout.splitlines()[-1])["error"]
