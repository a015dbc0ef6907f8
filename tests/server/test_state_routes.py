"""How the server tells of itself."""

import re

import pytest

from tests.server.scripted_engine import Scripted
from tests.server.scripted_server import Server, scripted_server


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


def test_what_is_promised_and_kept_is_told_by_class() -> None:
    classes = "gold:ttft=10s,deadline=60s,weight=2,on-overload=refuse;strict:itl=1ms"
    with scripted_server(scripted=Scripted(step_s=0.005, classes=classes, policy="adaptive")) as server:
        assert server.get("/v1/slo").json()["forecast_error"] is None
        body = {"prompt": "abc", "max_tokens": 20, "temperature": 0, "ignore_eos": True}
        for name in ("gold", "gold", "strict"):
            server.post("/v1/completions", {**body, "service_tier": name})
        told = server.get("/v1/slo").json()
        samples = server.metrics()
    assert (told["policy"], told["recent_s"]) == ("adaptive", 60)
    assert told["forecast_error"] >= 0
    by_name = {each["name"]: each for each in told["classes"]}
    assert list(by_name) == ["chat", "interactive", "batch", "gold", "strict"]
    gold, strict = by_name["gold"], by_name["strict"]
    assert gold["targets"] == {"ttft_ms": 10_000.0, "itl_ms": None, "deadline_ms": 60_000.0}
    assert (gold["weight"], gold["on_overload"], gold["infeasible"]) == (2.0, "refuse", [])
    assert gold["recent"] == gold["since_start"] == {"requests": 2, "attainment": 1.0}
    assert by_name["chat"]["recent"] == {"requests": 0, "attainment": None}
    assert strict["since_start"] == {"requests": 1, "attainment": 0.0}
    assert strict["violated"] == {"ttft": 0, "itl": 1, "e2e": 0}
    assert [each["target"] for each in strict["infeasible"]] == ["itl"]
    assert samples['headway:slo_attained_total{class="gold",slo="e2e"}'] == 2
    assert samples['headway:infeasible{class="strict",target="itl"}'] == 1


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
