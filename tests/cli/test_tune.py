"""`headway tune`: simulated, measured, written; and what it refuses before any work."""

import json
from math import inf
from pathlib import Path

import msgspec
import pytest
import yaml

from headway.bench.report import Answer
from headway.bench.served import NotServed
from headway.cli.tune import _best
from headway.cli.tune_systems import Measured, Work
from headway.cli.tune_trials import Trials
from headway.config_sources import load_settings
from headway.core.slo import BUILT_IN
from headway.profile.file import write_profile
from headway.profile.whose import this_machine, this_model
from headway.spec import read_spec
from headway.tune.search import Score
from headway.tune.settings import USES, Tuned
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
    flags = (
        "--profile",
        profile,
        "--class",
        "chat:ttft=2s",
        "--workload",
        "30:6",
        "--confirm",
        "0",
        "--rate",
        "4",
        "--seconds",
        "8",
    )
    found = last_line(
        headway("tune", folder, "--for", "chat", *flags, "--output", str(output), "--json", cache=tmp_path)
    )
    settings = load_settings({}, {}, output)
    written = yaml.safe_load(output.read_text())
    assert {key: written[key] for key in found["settings"]} == found["settings"]
    assert (settings.policy, settings.max_num_seqs) == (written["policy"], written["max-num-seqs"])
    assert settings.service_classes["chat"].ttft_p95_s == 2.0
    assert found["tried"] >= 20
    assert found["rate"] == 4
    assert (written["threads"], written["kernels"]) == (1, "plain"), "as it was measured"


@pytest.mark.slow
def test_the_best_are_measured_beside_what_serve_has_without_tuning(
    folder: str, profile: str, tmp_path: Path
) -> None:
    output = tmp_path / "tuned.yaml"
    flags = ("--profile", profile, "--workload", "30:6", "--rate", "8", "--confirm", "1", "--seconds", "5")
    classes = ("--class", "chat:ttft=5s,itl=5s")
    result = headway("tune", folder, *classes, *flags, "--output", str(output), "--json", cache=tmp_path)
    compared = last_line(result)["compared"]
    assert any({"policy": "adaptive", "max-num-seqs": 64}.items() <= line.items() for line in compared)
    assert compared[-1]["block-size"] == 64
    for line in compared:
        assert line["predicted"] > 0
        assert line["measured"] > 0
        assert line["attainment"] == 1.0
    assert "measured 1 of" in result.stderr


@pytest.mark.slow
def test_batch_has_no_rate(folder: str, profile: str, tmp_path: Path) -> None:
    flags = ("--for", "batch", "--profile", profile, "--confirm", "0", "--output", str(tmp_path / "t.yaml"))
    assert last_line(headway("tune", folder, *flags, "--json", cache=tmp_path))["rate"] is None
    assert "all at once" in (tmp_path / "t.yaml").read_text()


def test_what_is_there_at_once_counts_tokens() -> None:
    work = Work(USES["batch"].workload, BUILT_IN, at_once=True, seconds=30.0, seed=1)
    assert [a.at_s for a in work.arrivals(1.0, 0, 5)] == [0.0] * 5
    stamps = [Answer("batch", 0.0, [1.0, 2.0], True, 5), Answer("batch", 0.0, [1.0, 4.0], True, 5)]
    assert work.score(stamps).goodput == 1.0, "4 tokens in 4 s"


def test_a_setting_that_fails_and_one_that_was_disturbed_cost_the_others_nothing() -> None:
    quiet, noisy = {"others": 0.0}, {"others": 0.9}
    broken, disturbed, well = (Tuned("stall-free", 256, seqs) for seqs in (1, 2, 4))
    tries: list[Tuned] = []

    def attempt(tuned: Tuned) -> Measured:
        tries.append(tuned)
        if tuned == broken:
            raise NotServed("it did not come up:\nlast words")
        return Measured(
            Score(float(tuned.max_seqs), 1.0), noisy if tuned == disturbed else quiet, in_time=True
        )

    trials = Trials(attempt, again_until_s=inf)
    trials.measure([broken, disturbed, well])
    assert {tuned: run.counts for tuned, run in trials.runs.items()} == {
        disturbed: False, well: True, well._replace(block_size=64): True,
    }  # fmt: skip
    assert tries.count(disturbed) == 2
    assert list(trials.failed) == [str(broken)]


def test_where_nothing_can_be_measured_nothing_is_written(folder: str, profile: str, tmp_path: Path) -> None:
    output = tmp_path / "t.yaml"
    quick = ("--rate", "4", "--seconds", "5", "--confirm", "1", "--profile", profile, "--output", str(output))
    missing = str(Path(folder).with_name("gone"))
    assert headway("tune", missing, *quick, cache=tmp_path).exit_code == 2
    result = headway("tune", folder, "--workload", "30000:6", *quick, "--json", cache=tmp_path)
    assert result.exit_code == 2
    assert "for anybody" in json.loads(result.stdout.splitlines()[-1])["error"]
    assert not output.exists()


@pytest.mark.parametrize(("left", "error"), [(False, NotServed), (True, KeyboardInterrupt)])
def test_without_a_measurement_there_is_no_best_of_them(left: bool, error: type[BaseException]) -> None:
    def attempt(tuned: Tuned) -> Measured:
        raise KeyboardInterrupt if left else NotServed("it did not come up")

    trials = Trials(attempt, again_until_s=inf)
    trials.measure([Tuned("stall-free", 256, 4)])
    with pytest.raises(error):
        _best(trials, {Tuned("stall-free", 256, 4): Score(1.0, 1.0)}, confirm=1)


def test_what_was_measured_before_ctrl_c_counts() -> None:
    def attempt(tuned: Tuned) -> Measured:
        if tuned.max_seqs > 1:
            raise KeyboardInterrupt
        return Measured(Score(1.0, 1.0), {}, in_time=True)

    trials = Trials(attempt, again_until_s=inf)
    trials.measure([Tuned("stall-free", 256, seqs) for seqs in (1, 2, 4)])
    assert [tuned.max_seqs for tuned in trials.runs] == [1]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--for", "voice"), "--for: 'voice' is not one of chat, interactive, batch, mix"),
        (("--output", "{folder}"), "it exists"),
        (("--output", "{folder}/no/such/place.yaml"), "it cannot be written there"),
        (("--class", "chat:ttft=never"), "--class"),
        (("--trace", "nowhere.csv"), "nowhere.csv"),
        (("--for", "batch", "--rate", "2"), "--rate: for batch all is there from the start"),
        (("--arrivals", "now and then"), "now and then"),
    ],
)
def test_what_is_wrong_is_one_line_before_any_work(
    folder: str, tmp_path: Path, flags: tuple[str, ...], said: str
) -> None:
    output = ("--output", str(tmp_path / "t.yaml")) if "--output" not in flags else ()
    given = [flag.format(folder=folder) for flag in flags]
    result = headway("tune", folder, *given, *output, "--json", cache=tmp_path)
    assert result.exit_code == 2
    assert said in json.loads(result.stdout.splitlines()[-1])["error"]
    assert not (tmp_path / "t.yaml").exists()
