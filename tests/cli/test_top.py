"""`headway top` on a server that runs, on one that goes, and on what is none."""

import json
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from mock_server import Mock

from headway.cli.top import seen_anew
from headway.cli.top_view import Seen, figures
from tests.cli.test_bench_online import serving
from tests.cli.test_commands import headway, last_line
from tests.cli.test_serve import Server
from tests.speaking_model import write_speaking_model


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(
        str(write_speaking_model(tmp_path_factory.mktemp("model"))),
        "--class",
        "chat:ttft=none,itl=none,deadline=1ms",
    )
    yield server
    server.end()


def ask(server: Server, count: int) -> None:
    for _ in range(count):
        body = {"prompt": "one two", "max_tokens": 20, "service_tier": "chat", "ignore_eos": True}
        httpx.post(f"{server.url}/v1/completions", json=body, timeout=30).raise_for_status()


def test_what_a_server_does_is_told_as_json(server: Server) -> None:
    ask(server, 8)
    found = last_line(headway("top", server.url, "--every", "0.3", "--json"))
    assert (found["state"], found["policy"], found["running"], found["waiting"]) == (
        "ready",
        "adaptive",
        0,
        0,
    )
    (chat,) = [each for each in found["classes"] if each["name"] == "chat"]
    assert chat["since_start"]["requests"] == 8
    assert chat["infeasible"] == ["deadline"], "twenty tokens in a millisecond"
    assert 0.0 <= found["kv_used"] + found["kv_cached"] <= 1.0


def test_a_look_is_a_table_of_classes(server: Server) -> None:
    shown = headway("top", server.url, "--every", "0.2", "--looks", "1")
    assert shown.exit_code == 0
    assert "policy adaptive" in shown.stdout
    assert "deadline impossible here" in shown.stdout


slo: dict[str, Any] = {
    "policy": "adaptive",
    "forecast_error": 0.03,
    "paying": [],
    "classes": [{"name": "chat", "targets": {}, "recent": {}, "since_start": {}, "infeasible": []}],
}


def looked(at_s: float, steps: float, seconds: float, slow: float) -> Seen:
    metrics = {
        "headway:step_seconds_count": steps,
        "headway:step_seconds_sum": seconds,
        'headway:finished_total{class="chat",reason="stop"}': steps,
        'headway:finished_total{class="batch",reason="length"}': steps,
        'headway:ttft_seconds_bucket{class="chat",le="0.1"}': 100.0,
        'headway:ttft_seconds_bucket{class="chat",le="0.5"}': 100.0 + slow,
        'headway:ttft_seconds_bucket{class="chat",le="+Inf"}': 100.0 + slow,
    }
    return Seen(at_s, metrics, slo)


def test_rates_and_percentiles_are_of_the_time_between_two_looks() -> None:
    found = figures(looked(10.0, 100.0, 5.0, 0.0), looked(12.0, 140.0, 6.0, 3.0))
    assert found["ended_per_s"] == 40.0
    assert (found["busy"], found["step_s"]) == (0.5, 0.025)
    assert found["classes"][0]["ttft_p95_s"] == 0.5, "a hundred quick ones were before"
    assert found["preemptions"] == 0


def test_where_nobody_is_or_another_server_is_one_line_says_so(tmp_path: Path) -> None:
    gone = headway("top", "http://127.0.0.1:9", "--json")
    assert (gone.exit_code, "nobody answers" in gone.stderr) == (2, True)
    assert "nobody answers" in json.loads(gone.stdout.splitlines()[-1])["error"]
    assert headway("top", "here", "--json").exit_code == 2
    with serving(Mock(0.001, 0.001)) as url:
        other = headway("top", url)
    assert (other.exit_code, len(other.stderr.splitlines())) == (2, 1)
    assert headway("top", "http://127.0.0.1:80x").exit_code == 2


def test_a_server_that_goes_may_come_again_and_its_counters_begin_anew(server: Server) -> None:
    seen = deque([looked(10.0, 100.0, 5.0, 0.0)])
    assert "nobody answers" in str(seen_anew("http://127.0.0.1:9", None, seen))
    assert not seen
    seen.append(looked(10.0, 1e9, 5.0, 0.0))
    seen_anew(server.url, None, seen)
    assert len(seen) == 1, "what came before is another server's"
