"""A model folder's files, opened with suspicion: JSON and safetensors inside the folder, and nothing else.

Pickled weights are not read, and a model that brings code is refused. Knows no family.
"""

import json
from pathlib import Path
from typing import Any

from headway.spec.config_json import spec_from_config
from headway.spec.fields import Fields
from headway.spec.model import BadModel, ModelSpec

max_json_bytes = 1 << 26  # the longest read is the list of a sharded model's tensors

weights_file = "model.safetensors"
index_file = "model.safetensors.index.json"


def read_folder(folder: Path) -> ModelSpec:
    """The spec of a folder with config.json and safetensors. Raises BadModel."""
    values = read_json(folder, "config.json")
    config = Fields(folder / "config.json", values)
    if config.has("auto_map"):
        config.refuse("auto_map", "asks for code from the folder, which is never run")
    if config.has("quantization_config"):
        config.refuse(
            "quantization_config", "is set; quantized safetensors are not supported, GGUF files are"
        )
    _refuse_pickle_alone(folder)
    name = "generation_config.json"
    generation = read_json(folder, name) if (folder / name).exists() else {}
    return spec_from_config(config, Fields(folder / name, generation))


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """One of the folder's JSON files, a mapping. Raises BadModel."""
    path = file_in(folder, name)
    try:
        if (size := path.stat().st_size) > max_json_bytes:
            raise BadModel(path, f"{size:,} bytes of JSON; at most {max_json_bytes:,} are read")
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise BadModel(path, f"cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise BadModel(path, f"not readable as JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadModel(path, "holds no JSON object")
    return value


def file_in(folder: Path, name: str) -> Path:
    """The path of a file that lies in the folder. Raises BadModel where it is elsewhere or missing.

    A link out of the folder is refused, save into the `blobs` beside `snapshots`, where the hub's cache keeps
    the content of the same model.
    """
    path = folder / name
    if Path(name).name != name:
        raise BadModel(path, "names a file outside the model's folder")
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise BadModel(path, "is missing" if not path.is_symlink() else "is a link to nothing") from error
    home = folder.resolve()
    blobs = home.parent.parent / "blobs" if home.parent.name == "snapshots" else home
    if target.parent not in (home, blobs):
        raise BadModel(path, f"is a link out of the model's folder, to {target}")
    if not target.is_file():
        raise BadModel(path, "is not a file")
    return path


def _refuse_pickle_alone(folder: Path) -> None:
    if (folder / weights_file).exists() or (folder / index_file).exists():
        return
    for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt"):
        for path in sorted(folder.glob(pattern)):
            raise BadModel(path, "pickled weights can run code and are not read; convert them to safetensors")
