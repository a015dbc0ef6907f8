"""`headway sim --profile` and `--compare`: a calibrated machine, simulated and held beside itself."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner, Result

from headway.cli.main import app
from headway.profile.file import write_profile
from headway.profile.whose import this_machine, this_model
from headway.spec import read_spec
from tests.profile.made_up import made_up
from tests.speaking_model import write_speaking_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_speaking_model(tmp_path_factory.mktemp("model"), max_positions=2048))


@pytest.fixture
def profile(tmp_path: Path) -> str:
    write_profile(made_up(), tmp_path / "profile.json")
    return str(tmp_path / "profile.json")


def headway(*arguments: str, cache: Path) -> Result:
    environment = {"COLUMNS": "200", "NO_COLOR": "1", "HEADWAY_CACHE": str(cache)}
    return CliRunner().invoke(app, arguments, env=environment)


def last_line(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[-1])


def test_a_profile_is_a_machine_with_the_limits_of_its_server(profile: str, tmp_path: Path) -> None:
    flags = ("sim", "--profile", profile, "--requests", "20", "--rate", "1", "--json")
    found = last_line(headway(*flags, "--html", str(tmp_path / "page.html"), cache=tmp_path))
    assert (found["model"], found["device"]) == ("tiny", "A processor")
    assert (found["max_num_seqs"], found["max_num_batched_tokens"]) == (64, 256)
    assert (found["kv_tokens"], found["successful"]) == (64_000, 20)
    assert set(found["classes"]) == {"chat", "interactive", "batch"}
    assert found["ttft_s"]["p50"] > 4e-3, "the way is in it"
    assert "tiny on A processor" in (tmp_path / "page.html").read_text()
    assert last_line(headway(*flags, cache=tmp_path)) == found
    other = last_line(headway(*flags, "--seed", "2", "--max-num-seqs", "4", cache=tmp_path))
    assert (other["max_num_seqs"], other["ttft_s"] != found["ttft_s"]) == (4, True)


def test_capacity_is_searched_for_on_a_profile(profile: str, tmp_path: Path) -> None:
    flags = ("--capacity", "--window", "20", "--class", "chat:ttft=2s,itl=200ms", "--workload", "100:20")
    found = last_line(headway("sim", "--profile", profile, *flags, "--json", cache=tmp_path))
    assert 0.5 < found["capacity"] < 30


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ("--model", "Mistral-7B"),
            r"profile\.json: it is of another model: layers 32? instead of|layers 2 in",
        ),
        (("--device", "H100"), r"--device: --profile says what a step takes; leave --device out"),
        (("--memory-share", "0.5"), r"leave --memory-share out"),
        (("--model", "llama9"), r"--model: model 'llama9' is not known"),
    ],
)
def test_what_does_not_go_with_a_profile_is_one_line_and_exit_2(
    profile: str, tmp_path: Path, flags: tuple[str, ...], message: str
) -> None:
    refused(headway("sim", "--profile", profile, *flags, cache=tmp_path), message)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "not JSON"), ('{"version": 1}', "version: it is 1"), ('{"version": 2}', ".* field `made`")],
)
def test_a_wrong_profile_is_one_line_and_exit_2(tmp_path: Path, text: str, message: str) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text(text)
    refused(headway("sim", "--profile", str(bad), cache=tmp_path), rf"bad\.json: {message}")
    refused(headway("sim", "--profile", str(tmp_path / "no.json"), cache=tmp_path), r"no\.json: No such file")


def refused(result: Result, message: str) -> None:
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    assert re.search(message, line)


def test_a_comparison_needs_a_profile_of_this_model_on_this_machine(folder: str, tmp_path: Path) -> None:
    compare = ("sim", "--compare", "--model", folder)
    refused(headway(*compare, cache=tmp_path), r"no profile of .* `headway calibrate .*` makes one")
    path = tmp_path / "profile.json"
    write_profile(made_up(), path)
    refused(headway(*compare, "--profile", str(path), cache=tmp_path), r"it is of another model: ")
    model = this_model(read_spec(Path(folder)), folder)
    write_profile(msgspec.structs.replace(made_up(), model=model), path)
    refused(
        headway(*compare, "--profile", str(path), cache=tmp_path), r"it is of another machine: cpu 'A proc"
    )
    own = msgspec.structs.replace(made_up(), model=model, machine=this_machine(1, "plain"))
    write_profile(own, path)
    named = (*compare, "--profile", str(path))
    refused(
        headway(*named, "--fractions", "0.5,much", cache=tmp_path), r"--fractions: 'much' is not a number"
    )
    refused(headway(*named, "--slow", "1:2:3", cache=tmp_path), r"--compare: .* leave the faults")


@pytest.mark.slow
def test_a_tiny_model_is_calibrated_and_then_real_stands_beside_simulated(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for tries in ("sim_compare.most_tries", "sim_compare.most_wait_s"):  # the other tests disturb every one
        monkeypatch.setattr(f"headway.cli.{tries}", 1)
    monkeypatch.setattr("headway.bench.way.attempts", 1)
    calibrate = ("calibrate", folder, "--seconds", "3", "--kv-cache-memory", "16MiB", "--json")
    last_line(headway(*calibrate, cache=tmp_path))
    load = (
        "--requests",
        "12",
        "--rate",
        "8",
        "--repeats",
        "2",
        "--fractions",
        "0.5,1",
        "--workload",
        "50:20",
    )
    result = headway("sim", "--compare", "--model", folder, *load, "--json", cache=tmp_path)
    found = last_line(result)
    assert found["rate"] == 8.0
    names = {row["name"] for row in found["rows"]}
    assert names == {f"{kind} {rank}" for kind in ("TTFT", "TPOT", "E2E") for rank in ("p50", "p95")} | {
        "attainment chat"
    }
    assert {row["fraction"] for row in found["rows"]} == {0.5, 1.0}
    assert len(found["runs"]) == 4, "twice two rates, in turns"
    assert [run["rate"] for run in found["runs"]] == [4.0, 8.0, 4.0, 8.0]
    for row in found["rows"]:
        assert len(row["real"]) == len(row["simulated"]) == 2
        assert row["ratio"] is None or row["ratio"] > 0
    assert re.search(r"TPOT p95 +0\.5 +[\d.]+ ", result.stdout)
    assert "of 14 within" in result.stdout


@pytest.mark.parametrize(
    ("promise", "message"),
    [
        ("ttft=2s,itl=15ms", "no rate keeps these promises in simulation"),
        ("ttft=60s,itl=none", "are answered in time however they come"),
    ],
)
def test_a_comparison_without_a_capacity_says_so(
    folder: str, tmp_path: Path, promise: str, message: str
) -> None:
    model = this_model(read_spec(Path(folder)), folder)
    path = tmp_path / "profile.json"
    write_profile(msgspec.structs.replace(made_up(), model=model, machine=this_machine(1, "plain")), path)
    flags = ("--profile", str(path), "--requests", "6", "--repeats", "1", "--workload", "50:20")
    classes = ("--class", f"chat:{promise}")
    result = headway("sim", "--compare", "--model", folder, *flags, *classes, cache=tmp_path)
    assert result.exit_code == 2
    assert message in result.stderr
