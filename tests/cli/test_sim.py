"""`headway sim`: its block, its last line, its page; and one clear line for what cannot be simulated."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from headway.cli.main import app

small = ("sim", "--requests", "20", "--rate", "2", "--workload", "short")


def headway(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "200", "NO_COLOR": "1"})


def last_line(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[-1])


def test_the_block_has_the_lines_that_people_search_for_and_the_last_line_the_figures() -> None:
    result = headway(*small, "--class", "chat:ttft=1s,itl=100ms", "--json")
    found = last_line(result)
    assert found["successful"] == found["classes"]["chat"]["met"] == 20
    assert found["usage"]["decode"]["utilisation"]["bound_by"] == "memory"
    assert found["dollars_per_million_tokens"] > 0
    for label in (
        "Successful requests:", "Failed requests:", "Benchmark duration (s):", "Total input tokens:",
        "Total generated tokens:", "Request throughput (req/s):", "Output token throughput (tok/s):",
        "Mean TTFT (ms):", "Median TPOT (ms):", "P95 ITL (ms):", "P99 E2EL (ms):", "Request goodput (req/s):",
        "Attainment of chat:",
    ):  # fmt: skip
        assert re.search(rf"^{re.escape(label)} +\S", result.stdout, re.MULTILINE), label
    assert last_line(headway(*small, "--class", "chat:ttft=1s,itl=100ms", "--json")) == found


def test_the_help_shows_flags_in_groups() -> None:
    shown = headway("sim", "--help").stdout
    for group in ("Machine", "Engine", "Requests", "Faults", "What to do"):
        assert re.search(rf"─ {group} ─", shown), group


def test_a_page_needs_nothing_else_and_escapes_what_it_is_told(tmp_path: Path) -> None:
    trace = tmp_path / "<script>alert(1)<" / "b.csv"
    trace.parent.mkdir()
    trace.write_text("at_s,prompt_tokens,output_tokens\n" + "".join(f"{n},100,20\n" for n in range(5)))
    page = tmp_path / "page.html"
    assert last_line(headway("sim", "--trace", str(trace), "--html", str(page), "--json"))["successful"] == 5
    text = page.read_text()
    assert "Plotly.newPlot" in text
    assert text.count('class="plot"') == 5
    assert not re.search(r'<(script|link|img)[^>]+(src|href)="http', text)
    assert "<script>alert(1)" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_several_seeds_give_intervals() -> None:
    found = last_line(headway(*small, "--seeds", "3", "--json"))
    mean, low, high = found["intervals"]["ttft_s.p95"]
    assert low < mean < high
    assert len(found["seeds"]) == 3


def test_capacity_is_searched_for() -> None:
    flags = ("--workload", "short", "--capacity", "--window", "5", "--rate", "8", "--policy", "stall-free")
    found = last_line(headway("sim", *flags, "--max-num-seqs", "4", "--class", "chat:ttft=1s", "--json"))
    assert 0.5 < found["capacity"] < 30


def test_what_goes_wrong_is_simulated_too() -> None:
    faults = ("--slow", "1:3:4", "--burst", "2:5", "--leaving", "0.2", "--lose-rank", "6")
    found = last_line(headway(*small, *faults, "--json"))
    assert found["failed"] > 0
    assert found["ends"]["error"] > 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--device", "a1000"), r"--device: device 'a1000' is not known; known: .*A100-80"),
        (("--model", "llama9"), r"--model: model 'llama9' is not known, .*Mistral-7B"),
        (("--model", "Llama2-70B"), r"--model: Llama2-70B does not fit on A100-80: .*138\.0 GB of weights"),
        (("--tp", "3"), r"--tp, --pp: Mistral-7B: TP 3 does not divide its 32 query heads.* TP can be 1, 2"),
        (("--policy", "best"), r"--policy: 'best' is not one of static, "),
        (("--engine", "mine"), r"--engine: generation 'mine' is not known"),
        (("--class", "chat:tft=1s"), r"--class: chat: 'tft=1s' is no KEY=VALUE.* did you mean ttft"),
        (("--workload", "poems"), r"lengths 'poems': one of sharegpt"),
        (("--arrivals", "gama:2"), r"arrivals 'gama:2': not one of poisson"),
        (("--slow", "1:2"), r"--slow: '1:2' is not 3 numbers"),
        (("--capacity",), r"--capacity: .*leave --requests out"),
    ],
)
def test_what_cannot_be_is_one_line_and_exit_2(flags: tuple[str, ...], message: str) -> None:
    result = headway(*small, *flags)
    assert result.exit_code == 2
    assert re.search(message, result.stderr)
    assert len(result.stderr.splitlines()) == 1


def test_a_malformed_trace_is_named_with_file_line_and_field(tmp_path: Path) -> None:
    trace = tmp_path / "t.csv"
    trace.write_text("at_s,prompt_tokens,output_tokens\n0,100,20\n1,many,20\n")
    result = headway("sim", "--trace", str(trace))
    assert result.exit_code == 2
    assert re.search(r"t\.csv line 3: prompt_tokens: 'many'", result.stderr)
    assert len(result.stderr.splitlines()) == 1
