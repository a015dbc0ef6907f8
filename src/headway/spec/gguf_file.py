"""A GGUF file's header: metadata, and where each tensor lies. Reads no tensor and trusts no number.

The `gguf` package's reader believes every count and offset, and takes ten seconds for 262,144 tokens.
This one checks each against what is left of the file before it allocates. Knows no model family.
"""

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

from headway.spec.model import BadModel

Value = int | float | bool | str | list[int] | list[float] | list[bool] | list[str]

# Limits on what a header may ask for; real models stay far below.
max_metadata_entries = 1 << 12
max_tensors = 1 << 16
max_elements = 1 << 22  # of an array in the metadata; a vocabulary's is the longest
max_name_bytes = 1 << 10
max_dimensions = 4

block_types = tuple(
    GGMLQuantizationType[name]
    for name in ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K")
)
_scalars = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_string, _array = 8, 9


class GGUFTensor(NamedTuple):
    """A tensor's place in the file. A row is a whole number of blocks."""

    name: str
    shape: tuple[int, ...]  # rows first, as in torch; the file has it the other way round
    type: GGMLQuantizationType
    offset: int  # from the file's first byte
    bytes: int


@dataclass(frozen=True, slots=True)
class GGUFFile:
    """What a GGUF header says, checked: every tensor lies inside the file and none overlaps another."""

    path: Path
    metadata: dict[str, Value]
    tensors: dict[str, GGUFTensor]


def read_gguf(path: Path) -> GGUFFile:
    """The checked header of a GGUF file. Raises BadModel."""
    try:
        size = path.stat().st_size
        if size < struct.calcsize("<4sIQQ"):
            raise BadModel(path, f"not a GGUF file: only {size} bytes")
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Header(path, data).read()
    except OSError as error:
        raise BadModel(path, f"cannot be read: {error.strerror}") from error


class _Header:
    """A position in the file, and what may be read from there on."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self._path = path
        self._data = data
        self._position = 0

    def read(self) -> GGUFFile:
        self._magic_and_version()
        tensor_count = self._count("tensors", max_tensors)
        entry_count = self._count("metadata entries", max_metadata_entries)
        metadata: dict[str, Value] = {}
        for _ in range(entry_count):
            key = self._name("metadata key")
            if key in metadata:
                self._refuse(f"metadata key {key!r} appears twice")
            metadata[key] = self._value(key, self._number("I"))
        found = [self._tensor() for _ in range(tensor_count)]
        start = _round_up(self._position, self._alignment(metadata))
        tensors = self._placed(found, start)
        return GGUFFile(self._path, metadata, tensors)

    def _magic_and_version(self) -> None:
        if self._take(4) != b"GGUF":
            self._refuse("not a GGUF file: it does not begin with 'GGUF'")
        version = self._number("I")
        if version not in (2, 3):
            self._refuse(f"GGUF version {version}; only 2 and 3 (little-endian) are read")

    def _tensor(self) -> GGUFTensor:
        """As the header has it: the offset still counts from where the data begin."""
        name = self._name("tensor name")
        dimensions = self._number("I")
        if not 1 <= dimensions <= max_dimensions:
            self._refuse(f"tensor {name!r} has {dimensions} dimensions")
        shape = tuple(reversed([self._number("Q") for _ in range(dimensions)]))
        number = self._number("I")
        if number not in block_types:
            known = {member.value: member.name for member in GGMLQuantizationType}
            supported = ", ".join(member.name for member in block_types)
            self._refuse(
                f"tensor {name!r} has block type {known.get(number, number)}; supported: {supported}"
            )
        elements, block_bytes = GGML_QUANT_SIZES[GGMLQuantizationType(number)]
        total = 1
        for dimension in shape:
            total *= dimension
        if total < 1 or shape[-1] % elements:
            self._refuse(f"tensor {name!r} of shape {list(shape)} is not made of whole blocks of {elements}")
        size = total // elements * block_bytes
        return GGUFTensor(name, shape, GGMLQuantizationType(number), self._number("Q"), size)

    def _placed(self, found: list[GGUFTensor], start: int) -> dict[str, GGUFTensor]:
        """Tensors with offsets from the file's first byte, in file order."""
        tensors: dict[str, GGUFTensor] = {}
        end = start
        for tensor in sorted(found, key=lambda tensor: tensor.offset):
            placed = tensor._replace(offset=start + tensor.offset)
            if tensor.name in tensors:
                self._refuse(f"tensor {tensor.name!r} appears twice")
            if placed.offset < end:
                self._refuse(f"tensor {tensor.name!r} overlaps the one before it")
            end = placed.offset + placed.bytes
            if end > len(self._data):
                self._refuse(f"tensor {tensor.name!r} reaches byte {end:,} of a file of {len(self._data):,}")
            tensors[tensor.name] = placed
        return tensors

    def _alignment(self, metadata: dict[str, Value]) -> int:
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
            self._refuse(f"general.alignment is {alignment!r}, not a power of two")
        return alignment

    def _value(self, key: str, kind: int) -> Value:
        if kind == _string:
            return self._text(key)
        if kind in _scalars:
            scalar: int | float | bool = self._number(_scalars[kind])
            return scalar
        if kind != _array:
            self._refuse(f"metadata key {key!r} has the unknown type {kind}")
        kind = self._number("I")
        count = self._count(f"elements in {key!r}", max_elements)
        if kind == _string:
            return [self._text(key) for _ in range(count)]
        if kind not in _scalars:
            self._refuse(f"metadata key {key!r} is an array of the unsupported type {kind}")
        layout = f"<{count}{_scalars[kind]}"
        return list(struct.unpack(layout, self._take(struct.calcsize(layout))))

    def _count(self, what: str, limit: int) -> int:
        count: int = self._number("Q")
        if count > limit:
            self._refuse(f"claims {count:,} {what}; at most {limit:,} are read")
        return count

    def _name(self, what: str) -> str:
        (length,) = struct.unpack_from("<Q", self._data, self._need(8))
        if length > max_name_bytes:
            self._refuse(f"a {what} claims {length:,} bytes; at most {max_name_bytes:,} are read")
        return self._text(what)

    def _text(self, what: str) -> str:
        raw = self._take(self._number("Q"))
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            self._refuse(f"text in {what!r} is not UTF-8")

    def _number(self, layout: str) -> Any:
        """An int, a float or a bool, by its layout."""
        layout = f"<{layout}"
        return struct.unpack(layout, self._take(struct.calcsize(layout)))[0]

    def _take(self, count: int) -> bytes:
        start = self._need(count)
        self._position = start + count
        return self._data[start : self._position]

    def _need(self, count: int) -> int:
        """Where the next `count` bytes begin; they are there."""
        if count > len(self._data) - self._position:
            self._refuse(f"ends inside its header, at byte {len(self._data):,}")
        return self._position

    def _refuse(self, reason: str) -> NoReturn:
        raise BadModel(self._path, reason)


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
