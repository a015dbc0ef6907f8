"""What stands before every route: paths, hosts, keys, ids."""

import asyncio
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from headway.server.errors import ApiError
from headway.server.guard import Guard
from headway.server.settings import ServerSettings
from tests.server.raw_http import exchange
from tests.server.scripted_server import Server, scripted_server

key = "sesame"
body = {"prompt": "a", "max_tokens": 1}


@pytest.fixture(scope="module")
def locked() -> Iterator[Server]:
    with scripted_server({"api_key": key}) as running:
        yield running


def test_the_right_key_opens(locked: Server) -> None:
    answer = locked.post("/v1/completions", body, headers={"authorization": f"Bearer {key}"})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "given", [None, "", "Bearer", "Bearer wrong", f"Basic {key}", key, "Bearer " + "x" * 10_000]
)
@pytest.mark.parametrize("path", ["/v1/completions", "/tokenize", "/nowhere", "/%76ersion", "/v1/models/x"])
def test_without_it_everything_else_is_a_401(locked: Server, path: str, given: str | None) -> None:
    answer = locked.post(path, body, headers={} if given is None else {"authorization": given})
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "authentication_error"
    assert key not in answer.text


@pytest.fixture(scope="module")
def keyed() -> Iterator[Server]:
    keys = {"api_key": key, "tightening_key": "tighter", "admin_key": "master"}
    with scripted_server({**keys, "class_keys": {"golden": "chat", "tighter": "chat"}}) as running:
        yield running


@pytest.mark.parametrize(
    ("given", "status"), [(key, 400), ("golden", 400), ("tighter", 200), ("master", 200), ("wrong", 401)]
)
def test_who_may_tighten_a_promise(keyed: Server, given: str, status: int) -> None:
    headers = {"authorization": f"Bearer {given}", "x-slo-ttft-ms": "100"}
    answer = keyed.post("/v1/completions", body, headers=headers)
    assert answer.status_code == status
    if status == 400:
        assert "unless the request has a key that may tighten" in answer.json()["error"]["message"]


@pytest.mark.parametrize("given", [key, "golden", "tighter"])
def test_no_key_but_the_admins_changes_anything(keyed: Server, given: str) -> None:
    answer = keyed.post("/v1/slo", {"policy": "adaptive"}, headers={"authorization": f"Bearer {given}"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "not_admin")


def test_without_an_api_key_a_key_with_a_class_locks_nobody_out() -> None:
    with scripted_server({"class_keys": {"golden": "batch"}}) as server:
        answers = [
            server.post("/v1/completions", body, headers={"authorization": f"Bearer {given}"})
            for given in ("golden", "any")
        ]
    assert [answer.headers["x-headway-class"] for answer in answers] == ["batch", "interactive"]


def test_without_an_api_key_everyone_may_ask_and_only_the_other_key_tightens() -> None:
    with scripted_server({"tightening_key": "tighter"}) as server:
        statuses = [
            server.post("/v1/completions", body, headers={"x-slo-ttft-ms": "100", **more}).status_code
            for more in ({}, {"authorization": "Bearer any"}, {"authorization": "Bearer tighter"})
        ]
        assert statuses == [400, 400, 200]
        assert server.post("/v1/completions", body, headers={"authorization": "any"}).status_code == 200


def test_a_key_in_the_query_is_no_key(locked: Server) -> None:
    assert locked.get(f"/v1/models?api_key={key}").status_code == 401


def test_two_keys_are_no_key(locked: Server) -> None:
    lines = ["GET /v1/models HTTP/1.1", "Host: localhost", *[f"Authorization: Bearer {key}"] * 2]
    assert exchange(locked, "\r\n".join(lines).encode() + b"\r\n\r\n").status == 401


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics", "/"])
def test_what_scrapers_and_balancers_ask_is_open(locked: Server, path: str) -> None:
    assert locked.get(path).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "//v1/models",
        "/v1//models",
        "/v1/../metrics",
        "/v1/%2e%2e/metrics",
        "/v1/models/..%2f..%2fmetrics",
        "/./health",
        "/%2fhealth",
        "/health%00",
        "/health/",
        "/heal%74h",
        "/metrics;x",
        "/v1/models/%00",
        "/nowhere",
    ],
)
def test_odd_paths_lead_nowhere(server: Server, path: str) -> None:
    answer = exchange(server, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert answer.status == 404
    assert answer.json["error"]["code"] in ("no_route", "model_not_found")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "", "127.0.0.1.evil.example", "[::1"])
def test_a_foreign_host_is_a_400(server: Server, host: str) -> None:
    assert server.get("/health", headers={"host": host}).status_code == 400


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://localhost", "http://[", ""])
def test_a_foreign_origin_is_a_400(server: Server, origin: str) -> None:
    assert server.get("/metrics", headers={"origin": origin}).status_code == 400


def test_the_servers_own_page_may_ask(server: Server) -> None:
    assert server.get("/metrics", headers={"origin": server.url}).status_code == 200


def test_a_wrong_method_is_a_405_that_says_what_is_allowed(server: Server) -> None:
    answer = server.get("/v1/completions")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.json()["error"]["param"] is None


def test_a_request_id_is_echoed(server: Server) -> None:
    assert server.get("/health", headers={"x-request-id": "abc-123"}).headers["x-request-id"] == "abc-123"


def test_a_request_without_an_id_gets_one_of_its_own(server: Server) -> None:
    ids = {server.get("/health").headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3


def test_a_request_id_is_cleaned_and_cut(server: Server) -> None:
    given = "a b\tc<script>" + "x" * 10_000
    echoed = server.get("/health", headers={"x-request-id": given}).headers["x-request-id"]
    assert echoed.startswith("abcscriptxxx")
    assert len(echoed) <= 64


def test_our_own_mistake_is_a_500_that_says_nothing_of_it() -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise KeyError("a secret of ours")

    client = TestClient(Guard(broken, ServerSettings(model="m")), base_url="http://localhost")
    answer = client.get("/health")
    assert (answer.status_code, answer.json()["error"]["type"]) == (500, "server_error")
    assert "secret" not in answer.text
    assert "x-request-id" in answer.headers


def test_errors_carry_the_id_too(server: Server) -> None:
    assert server.get("/nowhere", headers={"x-request-id": "mine"}).headers["x-request-id"] == "mine"


def test_a_body_that_nobody_asked_for_is_read_before_the_answer_that_closes() -> None:
    """Or the connection is reset under the client, and its answer is lost."""
    seen: list[str] = []
    parts = [b"a" * 1000, b"b" * 1000]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ApiError(415, "no")

    async def receive() -> Message:
        seen.append("read")
        return {"type": "http.request", "body": parts.pop(), "more_body": bool(parts)}

    async def send(message: Message) -> None:
        seen.append(message["type"])

    headers = [(b"host", b"localhost"), (b"content-length", b"2000")]
    scope = {"type": "http", "method": "POST", "path": "/x", "raw_path": b"/x", "headers": headers}
    asyncio.run(Guard(app, ServerSettings(model="m"))(scope, receive, send))
    assert seen == ["read", "read", "http.response.start", "http.response.body"]
