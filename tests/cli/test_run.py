"""`headway run`: a batch file in, answers out, again and again until each request has its answer."""

import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from time import sleep
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from headway.cli.main import app
from tests.speaking_model import write_speaking_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_speaking_model(tmp_path_factory.mktemp("model")))


def request(custom_id: str, url: str = "/v1/completions", **body: Any) -> dict[str, Any]:
    asked = {"prompt": f"prompt {custom_id}", "max_tokens": 4, "temperature": 0, "ignore_eos": True} | body
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": asked}


def write(path: Path, requests: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in requests))
    return path


def run(folder: str, requests: Path, answers: Path) -> Result:
    arguments = (
        "run",
        folder,
        "-i",
        str(requests),
        "-o",
        str(answers),
        "--served-model-name",
        "tiny",
        "--json",
    )
    return CliRunner().invoke(app, arguments)


def engine_of(pid: int) -> int:
    """The one child of a `headway run` that runs an engine."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    (engine,) = (
        child for child in children if b"headway.cli.engine" in Path(f"/proc/{child}/cmdline").read_bytes()
    )
    return int(engine)


def read(path: Path) -> dict[str, dict[str, Any]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len({line["custom_id"] for line in lines}) == len(lines)
    return {line["custom_id"]: line["response"] for line in lines}


def test_what_names_no_class_is_batch(folder: str, tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "hi"}]
    for tier in (None, "scale"):
        body = {"messages": messages, "max_tokens": 2} | ({} if tier is None else {"service_tier": tier})
        line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body}
        answers = tmp_path / f"{tier}.jsonl"
        assert run(folder, write(tmp_path / "in.jsonl", [line]), answers).exit_code == 0
        assert read(answers)["a"]["body"]["service_tier"] == (tier or "flex")


def test_each_request_gets_its_answer_and_one_that_is_refused_its_error(folder: str, tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "hi"}]
    chat = request("chat", "/v1/chat/completions", messages=messages)
    del chat["body"]["prompt"]
    requests = [*(request(str(i), n=1 + i % 2) for i in range(20)), chat, request("bad", temperature=9)]
    result = run(folder, write(tmp_path / "in.jsonl", requests), tmp_path / "out.jsonl")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout.splitlines()[-1]) == {
        "requests": 22,
        "answered": 22,
        "failed": 1,
        "kept": 0,
        "unanswered": 0,
    }
    answers = read(tmp_path / "out.jsonl")
    assert set(answers) == {line["custom_id"] for line in requests}
    assert [len(answers[str(i)]["body"]["choices"]) for i in range(4)] == [1, 2, 1, 2]
    assert answers["chat"]["body"]["object"] == "chat.completion"
    assert answers["0"]["body"]["usage"]["completion_tokens"] == 4
    assert answers["bad"]["status_code"] == 400
    assert answers["bad"]["body"]["error"]["param"] == "temperature"


def test_a_run_that_was_cut_short_goes_on_where_it_was(folder: str, tmp_path: Path) -> None:
    requests = write(tmp_path / "in.jsonl", [request(id) for id in "abc"])
    assert run(folder, requests, tmp_path / "whole.jsonl").exit_code == 0
    whole = (tmp_path / "whole.jsonl").read_bytes()
    first_line = whole.index(b"\n") + 1
    (tmp_path / "out.jsonl").write_bytes(whole[: first_line + 30])
    result = run(folder, requests, tmp_path / "out.jsonl")
    assert json.loads(result.stdout.splitlines()[-1]) == {
        "requests": 3,
        "answered": 2,
        "failed": 0,
        "kept": 1,
        "unanswered": 0,
    }
    texts = {id: answer["body"]["choices"] for id, answer in read(tmp_path / "out.jsonl").items()}
    assert texts == {id: answer["body"]["choices"] for id, answer in read(tmp_path / "whole.jsonl").items()}


def test_the_key_that_a_server_asks_for_is_no_affair_of_a_run(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADWAY_API_KEY", "a-key-that-nobody-else-has")
    requests = write(tmp_path / "in.jsonl", [request("a")])
    assert run(folder, requests, tmp_path / "out.jsonl").exit_code == 0
    assert read(tmp_path / "out.jsonl")["a"]["status_code"] == 200


def test_a_run_whose_engine_dies_says_so_and_goes_on_when_it_is_begun_again(
    folder: str, tmp_path: Path
) -> None:
    ids = [str(i) for i in range(60)]
    requests, answers = (
        write(tmp_path / "in.jsonl", [request(id, max_tokens=64) for id in ids]),
        tmp_path / "out",
    )
    command = [sys.executable, "-m", "headway.cli", "run", folder, "-i", str(requests), "-o", str(answers)]
    with subprocess.Popen([*command, "--max-num-seqs", "4"], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while not answers.exists() or not answers.stat().st_size:
            assert process.poll() is None, process.stderr.read()
            sleep(0.01)
        os.kill(engine_of(process.pid), signal.SIGKILL)
        told = process.stderr.read()
    assert process.returncode == 1
    assert told.endswith("; run the same command again to go on\n")
    assert "Traceback" not in told
    before = set(read(answers))
    assert 0 < len(before) < len(ids)
    assert run(folder, requests, answers).exit_code == 0
    assert set(read(answers)) == set(ids)


@pytest.mark.parametrize("ended_by", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_ended_says_what_was_done_and_goes_on_when_it_is_begun_again(
    folder: str, tmp_path: Path, ended_by: signal.Signals
) -> None:
    ids = [str(i) for i in range(60)]
    requests = write(tmp_path / "in.jsonl", [request(id, max_tokens=400) for id in ids])
    answers = tmp_path / "out"
    command = [sys.executable, "-m", "headway.cli", "run", folder, "-i", str(requests), "-o", str(answers)]
    piped: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # A shell's background job begins with SIGINT ignored: here it is heard whoever runs the tests.
    piped["preexec_fn"] = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen([*command, "--max-num-seqs", "4", "--json"], **piped) as process:
        while not answers.exists() or not answers.stat().st_size:
            assert process.poll() is None
            sleep(0.01)
        process.send_signal(ended_by)
        out, told = process.communicate()
    assert process.returncode == 130
    assert told.endswith("headway: interrupted; run the same command again to go on\n")
    assert "Traceback" not in told
    counts, before = json.loads(out.splitlines()[-1]), set(read(answers))
    assert 0 < len(before) < len(ids)
    assert (counts["answered"], counts["unanswered"]) == (len(before), len(ids) - len(before))
    assert run(folder, requests, answers).exit_code == 0
    assert set(read(answers)) == set(ids)


def test_a_finished_run_begun_again_loads_no_model_and_changes_nothing(tmp_path: Path) -> None:
    requests = write(tmp_path / "in.jsonl", [request("a")])
    answers = tmp_path / "out.jsonl"
    answers.write_text('{"id": "headway-a", "custom_id": "a", "response": {}, "error": null}\n')
    before = answers.read_bytes()
    result = run("no-such-model", requests, answers)
    assert json.loads(result.stdout.splitlines()[-1]) == {
        "requests": 1,
        "answered": 0,
        "failed": 0,
        "kept": 1,
        "unanswered": 0,
    }
    assert answers.read_bytes() == before


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"custom_id": "b"', "line 2: not JSON"),
        ('{"custom_id": "b", "url": "/v1/files", "body": {}}', "line 2: url: not one of"),
    ],
)
def test_a_broken_file_is_one_line_and_exit_code_2_before_anything_runs(
    tmp_path: Path, line: str, message: str
) -> None:
    requests = write(tmp_path / "in.jsonl", [request("a")])
    requests.write_text(requests.read_text() + line + "\n")
    result = run("no-such-model", requests, tmp_path / "out.jsonl")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"headway: {requests} {message}")
    assert json.loads(result.stdout) == {"error": result.stderr.strip().removeprefix("headway: ")}
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "out.jsonl").exists()


def test_a_file_of_something_else_is_never_written_to(folder: str, tmp_path: Path) -> None:
    diary = tmp_path / "diary.txt"
    diary.write_text("dear diary")
    result = run(folder, write(tmp_path / "in.jsonl", [request("a")]), diary)
    assert result.exit_code == 2
    assert diary.read_text() == "dear diary"


def test_a_model_that_cannot_be_loaded_is_exit_code_2(tmp_path: Path) -> None:
    broken = write_speaking_model(tmp_path / "broken")
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:20_000])
    result = run(str(broken), write(tmp_path / "in.jsonl", [request("a")]), tmp_path / "out.jsonl")
    assert result.exit_code == 2
    assert f"headway: {weights}: " in result.stderr


def test_answers_that_cannot_be_written_are_exit_code_2(folder: str, tmp_path: Path) -> None:
    answers = tmp_path / "no-such-folder" / "out.jsonl"
    result = run(folder, write(tmp_path / "in.jsonl", [request("a")]), answers)
    assert result.exit_code == 2
    assert str(answers) in result.stderr
