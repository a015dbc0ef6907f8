"""`headway sweep` on a server, on a device that is simulated, and on a model that is served for it."""

from pathlib import Path

import pytest
from mock_server import Mock

from tests.cli.test_bench_online import serving
from tests.cli.test_commands import headway, last_line
from tests.speaking_model import write_speaking_model


def test_a_server_is_swept(tmp_path: Path) -> None:
    page = tmp_path / "sweep.html"
    with serving(Mock(0.02, 0.002)) as url:
        flags = ("--batch-sizes", "1,2,4", "--output-tokens", "8", "--html", str(page), "--json")
        answer = last_line(result := headway("sweep", url, *flags))
    assert [point["batch_size"] for point in answer["points"]] == [1, 2, 4]
    rates = [point["output_tok_s"] for point in answer["points"]]
    assert rates == sorted(rates), "this server serves any number at once"
    assert answer["system"].endswith("serves mock, vLLM's fields")
    assert "bound by memory up to 4 at a time" in result.stdout
    assert "Plotly" in page.read_text()


def test_rates_are_swept_too() -> None:
    with serving(Mock(0.01, 0.001)) as url:
        flags = ("--rates", "20,40", "--seconds", "1", "--output-tokens", "4", "--json")
        answer = last_line(headway("sweep", url, *flags))
    assert [point["rate"] for point in answer["points"]] == [20, 40]
    assert answer["unit"] == "requests/s"


def test_a_device_is_simulated_the_same_way_each_time() -> None:
    flags = ("mistral-7b", "--device", "a100-80", "--batch-sizes", "x4", "--json")
    answer = last_line(headway("sweep", *flags))
    assert answer == last_line(headway("sweep", *flags))
    assert [point["batch_size"] for point in answer["points"]] == [1, 4, 16, 64]
    assert answer["first_limit"] == {"load": 64, "by": "latency"}


def test_rates_on_a_device() -> None:
    flags = ("mistral-7b", "--device", "h100", "--rates", "1,2", "--seconds", "5", "--json")
    assert [point["rate"] for point in last_line(headway("sweep", *flags))["points"]] == [1, 2]


@pytest.mark.slow
def test_a_model_is_served_for_it(tmp_path: Path) -> None:
    folder = str(write_speaking_model(tmp_path / "model", max_positions=256))
    flags = ("--batch-sizes", "1,2", "--prompt-tokens", "4", "--output-tokens", "4", "--text", "--json")
    answer = last_line(headway("sweep", folder, *flags))
    assert [point["batch_size"] for point in answer["points"]] == [1, 2]
    assert all(run["failed"] == 0 for point in answer["points"] for run in point["repeats"])
    assert answer["system"] == f"{folder} served here by adaptive"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--batch-sizes", "1", "--rates", "1"), "--batch-sizes and --rates are two sweeps; leave one out"),
        (("--batch-sizes", "4,1"), "--batch-sizes '4,1': each once, the smallest first"),
        (("--policy", "fifo"), "--policy: 'fifo' is not one of"),
        (("http://127.0.0.1:9", "--policy", "static"), "--policy: a server that runs has its own"),
        (("no-such-model", "--device", "a100-80"), "--device: "),
        (("mistral-7b", "--device", "a1000"), "--device: "),
    ],
)
def test_what_cannot_be_swept_is_refused_in_one_line(arguments: tuple[str, ...], said: str) -> None:
    result = headway("sweep", *arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"headway: {said}")
    assert result.stderr.count("\n") == 1
