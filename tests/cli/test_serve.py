"""`headway serve` as people start it: a process of its own, from its first line to its exit code."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from headway.bench.traces import read_trace
from tests.speaking_model import write_speaking_model

key = "a-key-that-nobody-else-has"
class_key = "tenant-of-a-class"


class Server:
    """One that takes requests. `printed` is all of stdout up to then."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        command = [sys.executable, "-m", "headway.cli", "serve", *arguments, "--port", "0", "--json"]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        )
        assert self.process.stdout is not None
        self.printed: list[str] = []
        while not self.printed or not self.printed[-1].startswith("{"):
            line = self.process.stdout.readline()
            assert line, self.process.communicate()[1]
            self.printed.append(line.rstrip("\n"))
        self.said: dict[str, Any] = json.loads(self.printed[-1])
        self.url: str = self.said["url"]

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Exit code and stderr."""
        self.process.send_signal(number)
        _, stderr = self.process.communicate()
        return self.process.returncode, stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_speaking_model(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def server(folder: str) -> Iterator[Server]:
    classes = ("--class", "gold:itl=5s", "--class", "chat:ttft=2s", "--default-class", "gold")
    arguments = ("--served-model-name", "tiny", "--alias", "later=batch", "--policy", "adaptive", *classes)
    server = Server(folder, *arguments, HEADWAY_API_KEY=key, HEADWAY_CLASS_KEY=f"{class_key}=interactive")
    yield server
    if server.process.poll() is None:
        server.end()


def test_the_last_line_says_where_it_is_and_what_it_serves(server: Server) -> None:
    assert server.said["model"] == "tiny"
    assert server.said["kv_tokens"] >= 512
    assert httpx.get(f"{server.url}/health").status_code == 200
    assert httpx.get(f"{server.url}/ready").status_code == 200


def test_start_up_tells_the_cache_the_addresses_and_no_settings(server: Server) -> None:
    told = "\n".join(server.printed)
    assert "requests of 512" in told
    assert f"{server.url}/v1" in told
    assert len(server.printed) < 10


def test_the_printed_curl_line_streams_an_answer(server: Server) -> None:
    (line,) = (line for line in server.printed if line.startswith("curl "))
    words = shlex.split(line.replace("$HEADWAY_API_KEY", key))
    headers = dict(words[i + 1].split(": ", 1) for i, word in enumerate(words) if word == "-H")
    body = words[words.index("-d") + 1]
    url = next(word for word in words if word.startswith("http"))
    answer = httpx.post(url, content=body, headers=headers, timeout=60)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.endswith("data: [DONE]\n\n")
    assert '"content"' in answer.text


def test_the_key_is_asked_for_and_stands_on_no_command_line(server: Server) -> None:
    assert httpx.get(f"{server.url}/v1/models").status_code == 401
    listed = httpx.get(f"{server.url}/v1/models", headers={"authorization": f"Bearer {key}"})
    assert [model["id"] for model in listed.json()["data"]] == ["tiny", "later"]
    lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    engines = [line for line in lines if b"headway.cli.engine" in line]
    assert engines
    assert not [line for line in lines if key.encode() in line or class_key.encode() in line]


def test_the_classes_of_the_command_line_are_served(server: Server) -> None:
    headers = {"authorization": f"Bearer {key}"}
    body = {"prompt": "a", "max_tokens": 2}
    answer = httpx.post(f"{server.url}/v1/completions", json=body, headers=headers, timeout=60)
    assert answer.headers["x-headway-class"] == "gold"
    by_name = httpx.post(f"{server.url}/v1/completions", json={**body, "model": "later"}, headers=headers)
    assert by_name.headers["x-headway-class"] == "batch"
    by_key = {"authorization": f"Bearer {class_key}"}
    answer = httpx.post(f"{server.url}/v1/completions", json=body, headers=by_key, timeout=60)
    assert answer.headers["x-headway-class"] == "interactive"
    told = httpx.get(f"{server.url}/v1/slo", headers=headers).json()
    assert told["policy"] == "adaptive"
    targets = {each["name"]: each["targets"] for each in told["classes"]}
    assert (targets["gold"]["itl_ms"], targets["chat"]["ttft_ms"]) == (5_000.0, 2_000.0)


def test_a_taken_port_is_one_line_and_exit_code_2_before_a_model_is_loaded(folder: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "headway.cli", "serve", folder, "--port", port]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert ran.stderr == f"headway: --port {port} on --host 127.0.0.1: Address already in use; try --port 0\n"


def test_what_is_served_is_recorded_and_a_record_that_is_there_is_refused(
    folder: str, tmp_path: Path
) -> None:
    path = tmp_path / "asked.jsonl"
    server = Server(folder, "--record", str(path))
    try:
        for words, most in (("a b c d e f g h i j k l m n o p q r s t", 3), ("b", 2)):
            body = {"prompt": words, "max_tokens": most, "ignore_eos": True}
            answer = httpx.post(f"{server.url}/v1/completions", json=body, timeout=60)
            assert answer.json()["usage"]["completion_tokens"] == most
    finally:
        code, stderr = server.end()
    assert code == 0
    assert f"{path} records when requests came" in stderr
    trace = read_trace(path)
    assert [(a.output_tokens, a.max_tokens) for a in trace.requests] == [(3, 3), (2, 2)]
    command = [sys.executable, "-m", "headway.cli", "serve", folder, "--record", str(path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    told = "File exists; name a new file in a folder that can be written to"
    assert ran.stderr == f"headway: --record {path}: {told}\n"
    assert len(path.read_bytes().splitlines()) == 2


def test_a_signal_ends_it_with_exit_code_0_and_takes_the_engine_along(server: Server) -> None:
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    code, stderr = server.end()
    assert code == 0
    assert "Traceback" not in stderr
    assert "Fatal" not in stderr
    assert key not in stderr
    assert class_key not in stderr
    assert children
    assert not any(Path(f"/proc/{child}").exists() for child in children)
