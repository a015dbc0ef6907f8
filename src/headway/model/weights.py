"""A model's files -> its weights in our one layout, that of ModelSpec.tensors(), in the wanted dtype.

Owns that the files hold exactly what the spec says, which is known before a byte is allocated. Knows neither
the names nor the block types of any format.
"""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import torch
from torch import Tensor

from headway.model.weight_files import GGUFBlocks, SafetensorsFiles, WeightFiles
from headway.model.weight_names import Part, gguf_parts, is_unused, safetensors_parts
from headway.spec import BadModel, ModelSpec

Progress = Callable[[int, int], None]
"""Told the bytes of the files that are done, and all of them."""


def load_weights(
    path: Path, spec: ModelSpec, dtype: torch.dtype, progress: Progress | None = None
) -> dict[str, Tensor]:
    """The weights of the folder or .gguf file that `spec` was read from, in their own memory, on the CPU.

    One dtype for all, save norms where spec.float32_norms. Where a tensor is missing, surplus or of another
    shape, BadModel is raised before anything is allocated.
    """
    with ExitStack() as stack:
        files, parts = _opened(path, spec, stack)
        _check(files, spec, parts)
        total = sum(files.bytes(part.name) for ours in parts.values() for part in ours)
        done = 0
        weights: dict[str, Tensor] = {}
        for name, shape in spec.tensors():
            exact = spec.float32_norms and name.endswith("norm")
            weights[name] = torch.empty(shape, dtype=torch.float32 if exact else dtype)
            first = 0
            for part in parts[name]:
                _fill(weights[name][first : first + part.rows], files, part)
                first += part.rows
                done += files.bytes(part.name)
                if progress is not None:
                    progress(done, total)
    return weights


def _opened(path: Path, spec: ModelSpec, stack: ExitStack) -> tuple[WeightFiles, dict[str, tuple[Part, ...]]]:
    if not path.is_dir():
        return GGUFBlocks.open(path), gguf_parts(spec)
    files = SafetensorsFiles(path, stack)
    return files, safetensors_parts(spec, files.shapes)


def _check(files: WeightFiles, spec: ModelSpec, parts: dict[str, tuple[Part, ...]]) -> None:
    """Every part is there in its shape, and nothing else is."""
    needed: dict[str, tuple[int, ...]] = {}
    for name, shape in spec.tensors():
        needed |= {part.name: (part.rows, *shape[1:]) for part in parts[name]}
    for name, shape in needed.items():
        found = files.shapes.get(name)
        if found is None:
            raise BadModel(files.path, f"tensor {name!r} is missing")
        if found != shape:
            raise BadModel(
                files.path, f"tensor {name!r} has shape {list(found)}; the model's is {list(shape)}"
            )
    for name in files.shapes:
        if name not in needed and not is_unused(name, spec) and not _repeats_embedding(name, files, parts):
            raise BadModel(
                files.path, f"tensor {name!r} has no place in a {spec.family} model of this configuration"
            )


def _repeats_embedding(name: str, files: WeightFiles, parts: dict[str, tuple[Part, ...]]) -> bool:
    """A tied head that was saved all the same. One that differs is refused: which of them holds?"""
    embed = parts["embed"][0].name
    if not name.endswith("lm_head.weight") or files.shapes[name] != files.shapes[embed]:
        return False
    pairs = zip(files.rows(name), files.rows(embed), strict=True)
    return all(torch.equal(head, embedding) for head, embedding in pairs)


def _fill(rows: Tensor, files: WeightFiles, part: Part) -> None:
    """Write a part into its rows of one of our weights, cast and reordered piece by piece."""
    first = 0
    for piece in files.rows(part.name):
        if part.added:
            piece = piece.float() + part.added
        if part.places is None:
            rows[first : first + len(piece)].copy_(piece)
        else:
            rows.index_copy_(0, part.places[first : first + len(piece)], piece.to(rows.dtype))
        first += len(piece)
    assert first == part.rows
