"""`headway plan`: its table, its last line, its page; and one clear line for what cannot be planned."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from headway.cli.main import app

small = ("plan", "--workload", "300:4", "--policy", "stall-free", "--seeds", "1", "--device", "A100-80")


def headway(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "200", "NO_COLOR": "1"})


def last_line(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[-1])


def test_the_table_the_advice_and_the_last_line(tmp_path: Path) -> None:
    page = tmp_path / "plan.html"
    flags = (
        "--tp",
        "1",
        "--pp",
        "1",
        "--price",
        "a100-80=2.5",
        "--rate",
        "30",
        "--page",
        str(page),
        "--json",
    )
    result = headway(*small, *flags)
    found = last_line(result)
    assert found["prices"] == {"A100-80": 2.5}
    (choice,) = found["choices"]
    assert choice["dollars_per_hour"] == choice["replicas"] * 2.5
    assert choice["seeds"][0]["capacity"] * choice["replicas"] >= 30
    assert found["recommendation"] in result.stdout
    assert "Plotly.newPlot" in page.read_text()
    assert "prices as given" in page.read_text()


def test_placeholder_prices_are_called_what_they_are() -> None:
    result = headway(*small, "--tp", "1", "--pp", "1")
    assert re.search(
        r"prices of A100-80 are placeholders of \w+ 20\d\d; say yours with --price", result.stdout
    )


def test_a_device_of_one_s_own_is_planned_beside_ours_and_one_that_is_too_small_says_so(
    tmp_path: Path,
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("mine: {tflops: 400, gb: 90, gb_s: 2500, dollars_per_hour: 1}\n")
    flags = ("--devices", str(own), "--device", "mine,A10", "--weights", "16bit", "--tp", "1", "--pp", "1")
    result = headway(*small, *flags, "--model", "Qwen3-14B", "--json")
    found = last_line(result)
    assert {choice["device"] for choice in found["choices"]} == {"A100-80", "mine"}
    assert re.search(r"^A10 \(TP 1, .*does not fit on A10: .* GB of weights", result.stdout, re.MULTILINE)


def test_recorded_traffic_is_planned_for(tmp_path: Path) -> None:
    trace = tmp_path / "asked.csv"
    rows = "".join(f"{n / 4},{200 + n},4\n" for n in range(40))
    trace.write_text(f"at_s,prompt_tokens,output_tokens\n{rows}")
    found = last_line(headway(*small, "--trace", str(trace), "--tp", "1", "--pp", "1", "--json"))
    assert found["choices"][0]["capacity"] > 10


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--device", "a1000"), r"--device: device 'a1000' is not known; known: .*A100-80"),
        (("--model", "llama9"), r"--model: model 'llama9' is not known, .*Mistral-7B"),
        (("--model", "Falcon-180B", "--tp", "1"), r"--model: it fits on none of 1 devices; .*GB of weights"),
        (
            ("--tp", "1,3"),
            r"--tp, --pp: Mistral-7B: TP 3 does not divide its 32 query heads.* TP can be 1, 2",
        ),
        (("--tp", "two"), r"--tp: 'two' is not a whole number"),
        (("--tp", "8", "--gpus", "4"), r"--gpus 4: every TP x PP that was named has more GPUs"),
        (("--policy", "best"), r"--policy: 'best' is not one of static, "),
        (("--weights", "fp3"), r"--weights: 'fp3' is not one of 16bit, fp8"),
        (("--price", "A100-80=much"), r"--price: 'A100-80=much' is not DEVICE=DOLLARS an hour"),
        (("--price", "H100=3"), r"--price: H100 is not among the devices that are tried"),
        (("--price", "H1000=3"), r"--price: device 'H1000' is not known"),
        (("--class", "chat:tft=1s"), r"--class: chat: 'tft=1s' is no KEY=VALUE"),
        (("--arrivals", "closed"), r"--arrivals: closed has no rate"),
        (("--engine", "mine"), r"--engine: generation 'mine' is not known"),
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
    result = headway(*small, "--trace", str(trace))
    assert result.exit_code == 2
    assert re.search(r"t\.csv line 3: prompt_tokens: 'many'", result.stderr)


def test_the_help_shows_flags_in_groups() -> None:
    shown = headway("plan", "--help").stdout
    for group in ("What is tried", "Money", "Requests"):
        assert re.search(rf"─ {group} ─", shown), group
