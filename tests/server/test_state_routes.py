"""How the server tells of itself."""

import re

import pytest

from tests.server.scripted_server import Server


def test_the_page_brings_everything_with_it(server: Server) -> None:
    answer = server.get("/")
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert not re.search(r"(src|href)=|https?://|@import|url\(", answer.text)


def test_the_pages_metrics_exist(server: Server) -> None:
    server.post("/v1/completions", {"prompt": "ab", "max_tokens": 3})
    families = {name.partition("{")[0] for name in server.metrics()}
    asked = set(re.findall(r'"((?:headway|vllm):[a-z0-9_]+)"', server.get("/").text))
    assert asked
    assert all(name in families or f"{name}_bucket" in families for name in asked)


def test_the_version_is_a_text(server: Server) -> None:
    assert re.fullmatch(r"\d+\.\d+.*", server.get("/version").json()["version"])


def test_openapi_describes_bodies_with_their_ranges(server: Server) -> None:
    document = server.get("/openapi.json").json()
    body = document["paths"]["/v1/completions"]["post"]["requestBody"]["content"]["application/json"]
    name = body["schema"]["$ref"].rpartition("/")[2]
    assert "from 1 to 128" in document["components"]["schemas"][name]["properties"]["n"]["description"]


def test_every_reference_in_openapi_leads_somewhere(server: Server) -> None:
    answer = server.get("/openapi.json")
    schemas = answer.json()["components"]["schemas"]
    referred = set(re.findall(r'"#/components/schemas/(\w+)"', answer.text))
    assert referred <= set(schemas)
    assert "$defs" not in answer.text


@pytest.mark.parametrize("path", ["/health", "/ready"])
def test_a_probe_may_ask_for_the_head_alone(server: Server, path: str) -> None:
    answer = server.http.head(path)
    assert answer.status_code == 200
    assert answer.content == b""
