"""A whole server over a scripted engine, in processes of their own, and what a test needs to talk to it."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import httpx
import openai

from tests.server.scripted_engine import Scripted

plain = Scripted()


class Server:
    """A server that runs."""

    def __init__(self, process: "subprocess.Popen[str]", first: dict[str, Any]) -> None:
        self.process = process
        self.url: str = first["url"]
        self.engine_pid: int = first["engine_pid"]
        self.http = httpx.Client(base_url=self.url, timeout=30)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def client(self, **options: Any) -> openai.OpenAI:
        return openai.OpenAI(
            base_url=f"{self.url}/v1", api_key="none", max_retries=0, http_client=self.http, **options
        )

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.http.get(path, **options)

    def post(self, path: str, body: Any, **options: Any) -> httpx.Response:
        return self.http.post(path, json=body, **options)

    def post_raw(self, path: str, data: bytes, **headers: str) -> httpx.Response:
        given = {"content-type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
        return self.http.post(path, content=data, headers=given)

    def metrics(self) -> dict[str, float]:
        """Every sample of /metrics by its name and labels, as they are written."""
        lines = [line for line in self.get("/metrics").text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        return self.process.wait(30)


@contextmanager
def scripted_server(
    settings: dict[str, Any] | None = None, scripted: Scripted = plain, *, until: str = "ready"
) -> Iterator[Server]:
    """`until`: hand it over when it is "listening" or "ready". Killed at the end, if it still lives."""
    arguments = [json.dumps(settings or {}), json.dumps(asdict(scripted))]
    command = [sys.executable, "-m", "tests.server.server_process", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            server = Server(process, json.loads(process.stdout.readline()))
            if until == "ready":
                assert process.stdout.readline() == "ready\n"
            yield server
        finally:
            process.kill()
