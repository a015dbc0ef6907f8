"""From a model's name to a path on this machine: an alias, a folder, a .gguf file, or a hub id.

Knows nothing of what is inside a model: `spec.py` reads that. Only safetensors, JSON and templates are ever
taken from a hub, never pickled weights and never code.
"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from headway.packaged import PACKAGED, FetchFailed, fetch, is_complete
from headway.packaged import Progress as Progress


class ModelNotFound(Exception):
    """No model of this name could be found or fetched; the message is one line and says what to do."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"model {name!r}: {message}")
        self.name = name


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model that is on this machine, under the name that `resolve` takes."""

    name: str
    path: Path
    bytes: int
    family: str | None  # None: its files do not say


def resolve(name: str, cache_dir: Path | None = None, progress: Progress | None = None) -> Path:
    """The folder or .gguf file that `name` means, fetched first if it is an alias or a hub id not yet here.

    An alias beats a path (write `./smollm2` for a folder of that name), a path beats a hub id.
    Raises ModelNotFound.
    """
    for packaged in PACKAGED:
        if name == packaged.alias:
            try:
                return fetch(packaged, cache_dir or default_cache_dir(), progress or _silent)
            except FetchFailed as error:
                raise ModelNotFound(name, str(error)) from error
    path = Path(name).expanduser()
    if path.is_file():
        if path.suffix.lower() == ".gguf":
            return path
        raise ModelNotFound(
            name, "a model file must be a .gguf; for safetensors name the folder that holds it"
        )
    if path.is_dir():
        if (path / "config.json").is_file():
            return path
        raise ModelNotFound(
            name, "the folder holds no config.json; name a model folder, or a .gguf file itself"
        )
    if re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", name):
        return _from_hub(name, cache_dir and cache_dir / "hub")
    aliases = ", ".join(packaged.alias for packaged in PACKAGED)
    raise ModelNotFound(
        name, f"no such file or folder, and not a known name ({aliases}) nor a hub id (org/name)"
    )


def models(cache_dir: Path | None = None) -> list[LocalModel]:
    """What is on this machine: packaged models in the cache folder, then the hub's cached ones, by name."""
    folder = cache_dir or default_cache_dir()
    found = [
        LocalModel(packaged.alias, folder / packaged.file_name, packaged.bytes, packaged.family)
        for packaged in PACKAGED
        if is_complete(folder / packaged.file_name, packaged)
    ]
    return found + sorted(_hub_models(cache_dir and cache_dir / "hub"), key=lambda model: model.name)


def default_cache_dir() -> Path:
    """$HEADWAY_CACHE, else $XDG_CACHE_HOME/headway, else ~/.cache/headway."""
    if own := os.environ.get("HEADWAY_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "headway"


def _silent(phase: str, done: int, total: int | None) -> None:
    """Progress that nobody watches."""


def _from_hub(name: str, hub_cache: Path | None) -> Path:
    """A snapshot through huggingface_hub, whose own cache (None: its usual place) and bars are used."""
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(
            name,
            cache_dir=hub_cache,
            allow_patterns=["*.safetensors", "*.json", "*.jinja"],
            ignore_patterns=["*/*", "consolidated*"],  # copies for other programs
        )
    except Exception as error:  # its transport's errors, whose classes change with its version
        why = str(error).strip().partition("\n")[0] or type(error).__name__
        advice = "connect to the hub, or name a local folder, a .gguf file, or `smollm2`"
        raise ModelNotFound(
            name, f"not on this machine, and the hub did not give it ({why}); {advice}"
        ) from error
    path = Path(folder)
    missing = [what for what in ("config.json", "*.safetensors") if not any(path.glob(what))]
    if missing:
        raise ModelNotFound(
            name, f"the hub has it, but without {' and '.join(missing)}, which is all that is read"
        )
    return path


def _hub_models(hub_cache: Path | None) -> Iterator[LocalModel]:
    from huggingface_hub import CacheNotFound, scan_cache_dir

    try:
        cached = scan_cache_dir(hub_cache)
    except CacheNotFound:
        return
    for repo in cached.repos:
        newest = max(repo.revisions, key=lambda revision: revision.last_modified, default=None)
        if repo.repo_type != "model" or newest is None or not any(newest.snapshot_path.glob("*.safetensors")):
            continue
        yield LocalModel(
            repo.repo_id, newest.snapshot_path, newest.size_on_disk, _family(newest.snapshot_path)
        )


def _family(folder: Path) -> str | None:
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError):
        return None
    family = config.get("model_type") if isinstance(config, dict) else None
    return family if isinstance(family, str) else None
