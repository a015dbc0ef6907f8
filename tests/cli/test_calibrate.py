"""`headway calibrate` on a tiny model that is real, and engines that begin with what it wrote."""

import json
import logging
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from headway import LLM, Sampling
from headway.cli.main import app
from headway.config import Settings
from headway.core.forecast import Profile
from headway.profile.file import read_profile, write_profile
from tests.profile.made_up import made_up
from tests.speaking_model import write_speaking_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_speaking_model(tmp_path_factory.mktemp("model"), max_positions=2048))


def headway(*arguments: str, cache: Path) -> Result:
    environment = {"COLUMNS": "200", "NO_COLOR": "1", "HEADWAY_CACHE": str(cache)}
    return CliRunner().invoke(app, arguments, env=environment)


@pytest.mark.slow
def test_a_tiny_model_is_calibrated_and_begun_with(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    flags = ("--seconds", "3", "--kv-cache-memory", "16MiB", "--json")
    result = headway("calibrate", folder, *flags, cache=tmp_path)
    assert result.exit_code == 0, result.output
    last = json.loads(result.stdout.splitlines()[-1])
    assert set(last["errors"]) == {"decode", "prefill", "mixed", "all"}
    assert {"1", "4", "16"} <= set(last["decode_ms"])
    assert min(last["prefill_tok_s"], last["copied_bytes_s"], last["flop_s"], last["host_ms"]["step"]) > 0
    assert "a step of 16 decoding" in result.stdout
    written = read_profile(Path(last["profile"]))
    assert written.model.dimensions["layers"] == 2
    assert len(written.steps) == last["steps"] > 40
    assert last["errors"]["all"]["median"] < 0.5  # of milliseconds, on a machine that does other things

    monkeypatch.setenv("HEADWAY_CACHE", str(tmp_path))
    with caplog.at_level(logging.INFO, "headway.forecast"), LLM(Settings(model=folder)) as llm:
        assert llm.generate("a", Sampling(max_tokens=4), progress=False)
    assert f"it begins with the profile of {written.made.date}" in caplog.text


def test_an_engine_without_a_profile_says_so_and_begins_with_the_guess(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HEADWAY_CACHE", str(tmp_path))
    with caplog.at_level(logging.INFO, "headway.forecast"), LLM(Settings(model=folder)) as llm:
        forecast = llm._engine._built.engine.scheduler.learned.forecast
        assert forecast.knots == Profile().knots
    assert "it begins with the built-in guess; `headway calibrate`" in caplog.text


@pytest.mark.parametrize("command", ["serve", "run"])
def test_a_profile_that_cannot_be_used_is_one_line_and_exit_code_2(
    folder: str, tmp_path: Path, command: str
) -> None:
    bad, foreign = tmp_path / "bad.json", tmp_path / "foreign.json"
    bad.write_text('{"version": 2}')
    write_profile(made_up(), foreign)
    (tmp_path / "in.jsonl").write_text(
        '{"custom_id": "a", "url": "/v1/completions", "body": {"prompt": "a"}}\n'
    )
    files = ("-i", str(tmp_path / "in.jsonl"), "-o", str(tmp_path / "out.jsonl"))
    flags = files if command == "run" else ("--port", "0")
    for path, said in ((bad, "bad.json: Object missing"), (foreign, "it is of another model")):
        result = headway(command, folder, "--profile", str(path), *flags, cache=tmp_path)
        assert result.exit_code == 2
        (line,) = [line for line in result.stderr.splitlines() if line.startswith("headway: ")]
        assert said in line
    assert "Traceback" not in result.output
