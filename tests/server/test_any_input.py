"""Whatever /openapi.json allows, and much that it does not: no answer is our mistake, the engine lives."""

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from tests.server.scripted_engine import Scripted
from tests.server.scripted_server import Server, scripted_server

admin = {"authorization": "Bearer master"}


@pytest.fixture(scope="module")
def sound() -> Iterator[Server]:
    with scripted_server(
        {"admin_key": "master"}, Scripted(step_s=0.0005, max_model_len=128, faults=False)
    ) as running:
        yield running


@pytest.mark.slow
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize(
    "path",
    [
        "/v1/completions",
        "/v1/chat/completions",
        "/v1/slo",
        "/v1/drain",
        "/v1/abort",
        "/tokenize",
        "/detokenize",
    ],
)
def test_no_input_makes_a_server_error(sound: Server, path: str, mode: GenerationMode) -> None:
    document = schemathesis.openapi.from_url(f"{sound.url}/openapi.json")
    strategy = document[path]["POST"].as_strategy(generation_mode=mode)

    @settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def no_server_error(data: st.DataObject) -> None:
        case = data.draw(strategy)
        assert case.call(headers=admin).status_code < 500

    no_server_error()
    sound.post("/v1/drain", {"cancel": True}, headers=admin)
    assert sound.get("/ready").status_code == 200
