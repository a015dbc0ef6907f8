"""`headway tune`: simulated, measured, written; and what it refuses before any work."""

import json
from pathlib import Path

import msgspec
import pytest
import yaml

from headway.config_sources import load_settings
from headway.profile.file import write_profile
from headway.profile.whose import this_machine, this_model
from headway.spec import read_spec
from tests.cli.test_sim_profile import headway, last_line
from tests.profile.made_up import made_up
from tests.speaking_model import write_speaking_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_speaking_model(tmp_path_factory.mktemp("model"), max_positions=2048))


@pytest.fixture
def profile(folder: str, tmp_path: Path) -> str:
    model, machine = this_model(read_spec(Path(folder)), folder), this_machine(1, "plain")
    write_profile(msgspec.structs.replace(made_up(), model=model, machine=machine), tmp_path / "profile.json")
    return str(tmp_path / "profile.json")


def test_what_is_best_in_simulation_is_a_file_that_a_server_takes(
    folder: str, profile: str, tmp_path: Path
) -> None:
    output = tmp_path / "tuned.yaml"
    flags = ("--profile", profile, "--class", "chat:ttft=2s", "--workload", "30:6", "--confirm", "0")
    found = last_line(
        headway("tune", folder, "--for", "chat", *flags, "--output", str(output), "--json", cache=tmp_path)
    )
    settings = load_settings({}, {}, output)
    written = yaml.safe_load(output.read_text())
    assert {key: written[key] for key in found["settings"]} == found["settings"]
    assert (settings.policy, settings.max_num_seqs) == (written["policy"], written["max-num-seqs"])
    assert settings.service_classes["chat"].ttft_p95_s == 2.0
    assert found["tried"] >= 20
    assert found["rate"] > 0


@pytest.mark.slow
def test_the_best_are_measured_beside_what_serve_has_without_tuning(
    folder: str, profile: str, tmp_path: Path
) -> None:
    output = tmp_path / "tuned.yaml"
    flags = ("--profile", profile, "--workload", "30:6", "--rate", "2", "--confirm", "1", "--seconds", "5")
    classes = ("--class", "chat:ttft=5s,itl=5s")
    result = headway("tune", folder, *classes, *flags, "--output", str(output), "--json", cache=tmp_path)
    compared = last_line(result)["compared"]
    assert 1 <= len(compared) <= 2
    assert {"policy": "adaptive", "max-num-seqs": 64}.items() <= compared[-1].items()
    for line in compared:
        assert line["predicted"] > 0
        assert line["measured"] > 0
        assert line["attainment"] == 1.0
    assert "measured 1 of" in result.stderr


def test_all_at_once_counts_tokens_and_asks_for_no_rate(folder: str, profile: str, tmp_path: Path) -> None:
    flags = ("--for", "batch", "--profile", profile, "--confirm", "0", "--output", str(tmp_path / "t.yaml"))
    assert (
        last_line(headway("tune", folder, *flags, "--json", cache=tmp_path))["settings"]["max-num-seqs"] >= 16
    )


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--for", "voice"), "--for: 'voice' is not one of chat, interactive, batch, mix"),
        (("--output", "{folder}"), "it exists"),
        (("--output", "{folder}/no/such/place.yaml"), "it cannot be written there"),
        (("--class", "chat:ttft=never"), "--class"),
        (("--workload", "30:6", "--trace", "nowhere.csv"), "nowhere.csv"),
    ],
)
def test_what_is_wrong_is_one_line_before_any_work(
    folder: str, profile: str, tmp_path: Path, flags: tuple[str, ...], said: str
) -> None:
    output = ("--output", str(tmp_path / "t.yaml")) if "--output" not in flags else ()
    given = [flag.format(folder=folder) for flag in flags]
    result = headway("tune", folder, "--profile", profile, *given, *output, "--json", cache=tmp_path)
    assert result.exit_code == 2
    assert said in json.loads(result.stdout.splitlines()[-1])["error"]
    assert not (tmp_path / "t.yaml").exists()
