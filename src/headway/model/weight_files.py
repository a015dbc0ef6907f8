"""The tensors of a model's files, by name: shapes first, then their rows as numbers, piece by piece.

Owns how safetensors and GGUF blocks are read, nothing before it is asked for. Knows no family and no layout.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from gguf.constants import GGMLQuantizationType
from gguf.quants import dequantize
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from headway.spec import BadModel
from headway.spec.folder import file_in, index_file, read_json, weights_file
from headway.spec.gguf_file import GGUFFile, read_gguf

piece_elements = (
    1 << 15
)  # of a tensor, turned at a time: fits the cache, and torch copies it without its threads


class WeightFiles(Protocol):
    """What both formats give. `path` is what to blame."""

    path: Path
    shapes: dict[str, tuple[int, ...]]

    def bytes(self, name: str) -> int:
        """How much of the file a tensor takes."""
        ...

    def rows(self, name: str) -> Iterator[Tensor]:
        """A tensor's rows, in order, in pieces: [n, ...] of a floating-point type. Valid until the next."""
        ...


class SafetensorsFiles:
    """A folder's model.safetensors, or the parts that its index names."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        """Files stay open until `stack` is closed. Raises BadModel."""
        self.path = folder
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._files: dict[str, safe_open] = {}
        for name in self._file_names(folder):
            self._open(file_in(folder, name), stack)

    def bytes(self, name: str) -> int:
        dtype = _floats[self._files[name].get_slice(name).get_dtype()]
        return dtype.itemsize * _product(self.shapes[name])

    def rows(self, name: str) -> Iterator[Tensor]:
        yield self._files[name].get_tensor(name)

    def _file_names(self, folder: Path) -> list[str]:
        if (folder / weights_file).exists() or not (folder / index_file).exists():
            return [weights_file]
        self.path = folder / index_file
        named = read_json(folder, index_file).get("weight_map")
        if not isinstance(named, dict) or not all(isinstance(file, str) for file in named.values()):
            raise BadModel(self.path, "weight_map is not a mapping from tensors to files")
        return sorted(set(named.values()))

    def _open(self, path: Path, stack: ExitStack) -> None:
        try:
            file = stack.enter_context(safe_open(path, framework="pt"))
            for name in file.keys():  # noqa: SIM118  # no mapping, in spite of its keys
                part = file.get_slice(name)
                if name in self.shapes:
                    raise BadModel(path, f"tensor {name!r} is in another file too")
                if part.get_dtype() not in _floats:
                    raise BadModel(
                        path, f"tensor {name!r} is of type {part.get_dtype()}, not {', '.join(_floats)}"
                    )
                self.shapes[name] = tuple(part.get_shape())
                self._files[name] = file
        except SafetensorError as error:
            raise BadModel(path, f"not a sound safetensors file: {error}") from error


class GGUFBlocks:
    """A GGUF file's tensors, as numbers or as the blocks they are stored in."""

    def __init__(self, file: GGUFFile) -> None:
        self.path = file.path
        self._tensors = file.tensors
        self.shapes = {name: tensor.shape for name, tensor in file.tensors.items()}

    @classmethod
    def open(cls, path: Path) -> "GGUFBlocks":
        """Raises BadModel."""
        return cls(read_gguf(path))

    def bytes(self, name: str) -> int:
        return self._tensors[name].bytes

    def type(self, name: str) -> GGMLQuantizationType:
        return self._tensors[name].type

    def blocks(self, name: str) -> NDArray[np.uint8]:
        """The tensor as stored, uint8 [rows, bytes of a row], mapped: a row is whole blocks."""
        tensor = self._tensors[name]
        rows = _product(tensor.shape[:-1])
        mapped = np.memmap(self.path, np.uint8, "c", tensor.offset, (rows, tensor.bytes // rows))
        return mapped.view(np.ndarray)

    def rows(self, name: str) -> Iterator[Tensor]:
        tensor = self._tensors[name]
        blocks = self.blocks(name)
        step = max(piece_elements // tensor.shape[-1], 1)
        for first in range(0, len(blocks), step):
            piece = dequantized(blocks[first : first + step], tensor.type)
            yield torch.from_numpy(piece).view(-1, *tensor.shape[1:])


def dequantized(blocks: NDArray[np.uint8], type: GGMLQuantizationType) -> NDArray[np.float32]:
    """float32 [rows, columns] of a piece of rows of blocks, by the gguf package's own arithmetic.

    Blocks know nothing of rows: the piece is handed over as one, since the package pays for every sixteen.
    """
    return dequantize(np.ascontiguousarray(blocks).reshape(1, -1), type).reshape(len(blocks), -1)


_floats = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def _product(numbers: tuple[int, ...]) -> int:
    total = 1
    for number in numbers:
        total *= number
    return total
