"""The key-value part of a GGUF file, read quickly and mistrusted: no tensor is touched.

A tokenizer's metadata is some 10^5 short strings; the `gguf` package's reader makes several arrays of each,
which takes seconds where this takes a tenth of one. Every length is checked against the file before use.
"""

import mmap
import struct
from pathlib import Path

from headway.text.parts import BadTokenizer

Scalar = str | int | float | bool
Value = Scalar | list[Scalar]

_numbers = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_string, _array = 8, 9
_versions = (2, 3)


def read_metadata(path: Path, prefixes: tuple[str, ...]) -> dict[str, Value]:
    """The entries whose keys begin with one of `prefixes`. Raises BadTokenizer."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Cursor(data).metadata(prefixes)
    except (_Malformed, struct.error, UnicodeDecodeError, ValueError) as error:
        raise BadTokenizer(path, f"not a GGUF file this can read ({error})") from error


class _Malformed(Exception):
    pass


class _Cursor:
    """A place in the file; every method reads from it and moves past what it read."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = 0

    def metadata(self, prefixes: tuple[str, ...]) -> dict[str, Value]:
        if self._bytes(4) != b"GGUF":
            raise _Malformed("it does not begin with GGUF")
        if (version := self._number("I")) not in _versions:
            raise _Malformed(f"version {version} is not one of {_versions}")
        self._number("Q")  # tensors
        entries = self._count("Q", least_bytes=13)  # a key's length, a value's type, a byte of value
        found: dict[str, Value] = {}
        for _ in range(entries):
            key = self._text()
            value = self._value(int(self._number("I")))
            if key.startswith(prefixes):
                found[key] = value
        return found

    def _value(self, kind: int) -> Value:
        if kind != _array:
            return self._scalar(kind)
        kind = int(self._number("I"))
        if kind == _string:
            return [self._text() for _ in range(self._count("Q", least_bytes=8))]
        if kind not in _numbers:
            raise _Malformed(f"an array of type {kind}")
        size = struct.calcsize(_numbers[kind])
        count = self._count("Q", least_bytes=size)
        return list(struct.unpack(f"<{count}{_numbers[kind]}", self._bytes(count * size)))

    def _scalar(self, kind: int) -> Scalar:
        if kind == _string:
            return self._text()
        if kind not in _numbers:
            raise _Malformed(f"a value of type {kind}")
        return self._number(_numbers[kind])

    def _text(self) -> str:
        (length,) = struct.unpack_from("<Q", self._data, self._at)
        self._at += 8
        return self._bytes(length).decode()

    def _number(self, code: str) -> int | float | bool:
        number: int | float | bool
        (number,) = struct.unpack_from("<" + code, self._data, self._at)
        self._at += struct.calcsize("<" + code)
        return number

    def _count(self, code: str, least_bytes: int) -> int:
        """How many things of `least_bytes` each follow; a forged count is seen before it is used."""
        count = int(self._number(code))
        if count * least_bytes > len(self._data) - self._at:
            raise _Malformed(f"{count} entries do not fit in the file")
        return count

    def _bytes(self, length: int) -> bytes:
        if length > len(self._data) - self._at:
            raise _Malformed(f"{length} bytes at {self._at} do not fit in the file")
        self._at += length
        return self._data[self._at - length : self._at]
