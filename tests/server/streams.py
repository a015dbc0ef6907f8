"""Streams that go on until somebody ends them, and what came of them."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx

from tests.server.scripted_server import Server

endless: dict[str, Any] = {"prompt": "abc", "ignore_eos": True, "max_tokens": 400, "temperature": 0}


def idle(server: Server) -> bool:
    return server.metrics()["headway:running"] + server.metrics()["headway:waiting"] == 0


@contextmanager
def open_streams(server: Server, count: int, **fields: Any) -> Iterator[list["httpx.Response"]]:
    """Streams that have begun and will not end by themselves."""
    body = endless | {"stream": True} | fields
    with ThreadPoolExecutor(count) as threads, httpx.Client(base_url=server.url, timeout=30) as client:
        requests = [client.build_request("POST", "/v1/completions", json=body)] * count
        responses = list(threads.map(lambda request: client.send(request, stream=True), requests))
        try:
            yield responses
        finally:
            for response in responses:
                response.close()


def events_of(response: httpx.Response) -> list[Any]:
    text = "".join(response.iter_text())
    return [json.loads(e[6:]) for e in text.split("\n\n") if e.startswith("data: {")]
