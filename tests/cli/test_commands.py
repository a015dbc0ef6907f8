"""Commands: their flags, their last line, their exit codes."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from headway.cli.main import app
from headway.config import GROUPS, OPTIONS
from tests.architecture.house_rules import modules_loaded
from tests.speaking_model import write_speaking_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_speaking_model(tmp_path_factory.mktemp("model")))


def headway(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "200", "NO_COLOR": "1", **environment})


def last_line(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[-1])


def commands() -> dict[str, typer.core.TyperCommand]:
    """Every command by its full name."""
    found: dict[str, Any] = {}

    def walk(command: Any, name: str) -> None:
        if hasattr(command, "commands"):
            for child, below in command.commands.items():
                walk(below, f"{name} {child}".strip())
        else:
            found[name] = command

    walk(typer.main.get_command(app), "")
    return found


def test_the_commands_are_those_of_the_readme() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    named = set(re.findall(r"`headway ((?:models |bench )?[a-z]+)", readme))
    assert set(commands()) == named


@pytest.mark.parametrize("name", commands())
def test_every_command_says_what_it_does_and_takes_json(name: str) -> None:
    shown = headway(*name.split(), "--help")
    assert shown.exit_code == 0
    assert "--json" in shown.stdout


def test_serve_has_a_flag_for_every_setting_and_shows_them_by_group() -> None:
    shown = headway("serve", "--help").stdout
    flags = set(re.findall(r"(?<![\w-])--[a-z-]+", shown))
    assert flags == {o.flag for o in OPTIONS.values()} - {"--model"} | {
        "--no-prefix-caching",
        "--config",
        "--json",
        "--help",
    }
    assert all(f"─ {group} ─" in shown for group in GROUPS)


def test_help_shows_each_setting_s_default() -> None:
    shown = " ".join(headway("serve", "--help").stdout.split())
    assert all(f"Default: {option.default_words}." in shown for option in OPTIONS.values())


def test_commands_load_no_torch_until_they_need_it() -> None:
    loaded = modules_loaded(Path(__file__).parents[2] / "src" / "headway", "cli/main")
    assert "torch" not in loaded


def test_version_names_what_runs() -> None:
    assert set(last_line(headway("version", "--json"))) == {"headway", "torch", "python"}


def test_an_empty_machine_has_no_models(tmp_path: Path) -> None:
    environment = {"HEADWAY_CACHE": str(tmp_path), "HF_HUB_CACHE": str(tmp_path), "HF_HOME": str(tmp_path)}
    assert last_line(headway("models", "list", "--json", **environment)) == {"models": []}
    assert "headway models pull" in headway("models", "list", **environment).stdout


def test_pulling_what_is_here_says_where(folder: str) -> None:
    assert last_line(headway("models", "pull", folder, "--json")) == {"name": folder, "path": folder}


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (("serve", "no-such-model"), {}, "no-such-model"),
        (("serve", "--port", "70000"), {}, "--port: '70000' is not a whole number from 0 to 65,535"),
        (("serve", "--max-num-seqs", "300"), {}, "set --max-num-batched-tokens 300"),
        (("serve",), {"HEADWAY_PROT": "1"}, "did you mean HEADWAY_PORT"),
        (("serve", "--config", "absent.yaml"), {}, "absent.yaml: No such file or directory"),
        (("models", "pull", "no-such-model"), {}, "no-such-model"),
        (("bench", "offline", "--batch-sizes", "1,x"), {}, "--batch-sizes"),
        (("run", "-i", "absent.jsonl", "-o", "out.jsonl"), {}, "absent.jsonl: No such file or directory"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...], environment: dict[str, str], message: str
) -> None:
    result = headway(*arguments, **environment)
    assert result.exit_code == 2
    assert result.stderr.startswith("headway: ")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_context_that_the_model_cannot_have_is_refused_with_the_one_it_can(folder: str) -> None:
    result = headway("serve", folder, "--max-model-len", "1000")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "set --max-model-len 512" in result.stderr


def test_bench_offline_prints_a_row_per_batch_size_and_the_same_as_json(folder: str) -> None:
    flags = ("--batch-sizes", "1,3", "--prompt-tokens", "20", "--output-tokens", "5", "--json")
    result = headway("bench", "offline", folder, *flags)
    answer = last_line(result)
    assert [row["batch_size"] for row in answer["results"]] == [1, 3]
    for row in answer["results"]:
        assert set(row) == {"batch_size", "prefill_tok_s", "decode_tok_s", "tpot_ms"}
        assert min(row.values()) > 0
        assert row["decode_tok_s"] == pytest.approx(1e3 * row["batch_size"] / row["tpot_ms"])
    assert [line.split()[0] for line in result.stdout.splitlines()[1:3]] == ["1", "3"]


def test_bench_offline_takes_a_step_smaller_than_what_a_server_runs_at_a_time(folder: str) -> None:
    flags = ("--batch-sizes", "1", "--max-num-batched-tokens", "32", "--output-tokens", "2", "--json")
    assert len(last_line(headway("bench", "offline", folder, *flags))["results"]) == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--prompt-tokens", "500", "--output-tokens", "13"), "the context holds 512"),
        (("--batch-sizes", "8", "--kv-cache-memory", "64KiB"), "set --kv-cache-memory"),
        (
            ("--batch-sizes", "4,64", "--max-num-batched-tokens", "32"),
            "--batch-sizes: a step of 32 tokens cannot give 64 sequences one each; "
            "set --max-num-batched-tokens 64",
        ),
    ],
)
def test_bench_offline_refuses_what_would_not_fit(folder: str, flags: tuple[str, ...], message: str) -> None:
    result = headway("bench", "offline", folder, *flags)
    assert result.exit_code == 2
    assert message in result.stderr
