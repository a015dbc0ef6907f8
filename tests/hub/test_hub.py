"""What a model's name means, and what is said when it means nothing here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from headway import packaged
from headway.hub import ModelNotFound, default_cache_dir, models, resolve


def test_a_gguf_file_is_itself(tmp_path: Path) -> None:
    file = tmp_path / "some.gguf"
    file.write_bytes(b"GGUF")
    assert resolve(str(file)) == file


def test_a_folder_with_a_config_is_itself(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert resolve(str(tmp_path)) == tmp_path


def test_a_folder_without_a_config_is_refused_by_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"no config\.json"):
        resolve(str(tmp_path))


def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "pytorch_model.bin"
    file.write_bytes(b"")
    with pytest.raises(ModelNotFound, match=r"must be a \.gguf"):
        resolve(str(file))


def test_a_name_that_means_nothing_is_answered_with_the_names_that_do() -> None:
    with pytest.raises(ModelNotFound, match=r"smollm2, gemma3-270m.*org/name") as caught:
        resolve("smolm2")
    assert caught.value.name == "smolm2"


def test_an_alias_that_is_in_the_cache_needs_no_index(tmp_path: Path) -> None:
    smollm2 = packaged.PACKAGED[0]
    with (tmp_path / smollm2.file_name).open("wb") as file:
        file.truncate(smollm2.bytes)  # sparse
    assert resolve("smollm2", cache_dir=tmp_path) == tmp_path / smollm2.file_name
    assert [(model.name, model.bytes, model.family) for model in models(tmp_path)] == [
        ("smollm2", smollm2.bytes, "llama")
    ]


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEADWAY_CACHE", str(tmp_path / "own"))
    assert default_cache_dir() == tmp_path / "own"
    monkeypatch.delenv("HEADWAY_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_dir() == tmp_path / "headway"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache_dir() == Path.home() / ".cache" / "headway"


def hub_snapshot(cache: Path, repo: str, files: dict[str, str]) -> Path:
    """What the hub's own client leaves on disk."""
    folder = cache / "hub" / ("models--" + repo.replace("/", "--"))
    snapshot = folder / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0" * 40)
    for name, content in files.items():
        (snapshot / name).write_text(content)
    return snapshot


def test_models_of_the_hub_that_are_here_are_listed_with_their_family(tmp_path: Path) -> None:
    config = json.dumps({"model_type": "qwen3"})
    snapshot = hub_snapshot(tmp_path, "org/name", {"config.json": config, "model.safetensors": ""})
    hub_snapshot(tmp_path, "org/tokenizer-only", {"tokenizer.json": "{}"})
    assert [(model.name, model.path, model.family) for model in models(tmp_path)] == [
        ("org/name", snapshot, "qwen3")
    ]


def resolve_offline(name: str, cache: Path) -> "subprocess.CompletedProcess[str]":
    """In a fresh process, since the hub's client reads its settings when it is imported."""
    program = (
        "import sys; from pathlib import Path; from headway.hub import resolve, ModelNotFound\n"
        "try: print(resolve(sys.argv[1], Path(sys.argv[2])))\n"
        "except ModelNotFound as error: print(error); sys.exit(3)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", program, name, str(cache)],
        env={"HF_HUB_OFFLINE": "1", "PYTHONPATH": "src", "HOME": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_hub_id_that_is_here_is_found_without_the_hub(tmp_path: Path) -> None:
    snapshot = hub_snapshot(tmp_path, "org/name", {"config.json": "{}", "model.safetensors": ""})
    assert resolve_offline("org/name", tmp_path).stdout.strip() == str(snapshot)


def test_a_hub_id_that_is_not_here_is_one_line_that_says_what_to_do_when_offline(tmp_path: Path) -> None:
    answer = resolve_offline("org/absent", tmp_path)
    assert answer.returncode == 3
    assert len(answer.stdout.splitlines()) == 1
    assert "not on this machine" in answer.stdout
    assert "connect to the hub" in answer.stdout


def test_an_error_of_the_hub_s_client_that_has_no_words_is_told_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: object, **options: object) -> None:
        raise TimeoutError

    monkeypatch.setattr("huggingface_hub.snapshot_download", fails)
    with pytest.raises(ModelNotFound, match=r"did not give it \(TimeoutError\)"):
        resolve("org/name", tmp_path)


def test_a_snapshot_without_safetensors_is_refused(tmp_path: Path) -> None:
    hub_snapshot(tmp_path, "org/pickles", {"config.json": "{}", "pytorch_model.bin": ""})
    answer = resolve_offline("org/pickles", tmp_path)
    assert answer.returncode == 3
    assert "without *.safetensors" in answer.stdout
