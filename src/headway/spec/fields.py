"""Unchecked values of a configuration: read by key, with a type and a limit, or refused by name.

Knows neither JSON nor GGUF, and no model family.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from headway.spec.model import BadModel

# What no model of these families comes near. A count over its limit is refused before it sizes anything.
max_layers = 1 << 10
max_heads = 1 << 12
max_head_dim = 1 << 10
max_hidden = 1 << 17
max_ffn = 1 << 20
max_vocab = 1 << 22
max_positions = 1 << 27


class Fields:
    """A mapping from a file, and how to name what is wrong in it. `prefix` goes before every key."""

    def __init__(self, path: Path, values: Mapping[str, object], prefix: str = "") -> None:
        self.path = path
        self._values = values
        self._prefix = prefix

    def has(self, key: str) -> bool:
        """Present, and not null."""
        return self.raw(key) is not None

    def raw(self, key: str) -> object:
        return self._values.get(self._prefix + key)

    def with_defaults(self, defaults: Mapping[str, object]) -> "Fields":
        """The same file; a key that is absent means what `defaults` says. One that is null stays null."""
        return Fields(self.path, {**defaults, **self._values}, self._prefix)

    def count(self, key: str, limit: int, default: int | None = None) -> int:
        """A whole number from 1 to `limit`; `default` where the key is absent or null."""
        value = self._present(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            self.refuse(key, f"is {_shown(value)}, not a whole number above 0")
        if value > limit:
            self.refuse(key, f"is {_shown(value)}; at most {limit:,} is supported")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A finite number above 0."""
        value = self._present(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.refuse(key, f"is {_shown(value)}, not a number")
        if not 0 < value < math.inf:
            self.refuse(key, f"is {_shown(value)}, not a finite number above 0")
        return float(value)

    def flag(self, key: str, default: bool | None = None) -> bool:
        value = self._present(key, default)
        if not isinstance(value, bool):
            self.refuse(key, f"is {_shown(value)}, not true or false")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        value = self._present(key, default)
        if not isinstance(value, str):
            self.refuse(key, f"is {_shown(value)}, not text")
        return value

    def within(self, key: str) -> "Fields":
        """The mapping under a key."""
        value = self._present(key, None)
        if not isinstance(value, dict):
            self.refuse(key, f"is {_shown(value)}, not a mapping")
        return Fields(self.path, value)

    def ids(self, key: str, vocab: int) -> tuple[int, ...]:
        """One token id or several; none where the key is absent or null."""
        value = self.raw(key)
        if value is None:
            return ()
        ids = tuple(value) if isinstance(value, list) else (value,)
        for one in ids:
            if isinstance(one, bool) or not isinstance(one, int) or not 0 <= one < vocab:
                self.refuse(key, f"is {_shown(value)}: a token id lies between 0 and {vocab - 1:,}")
        return ids

    def refuse(self, key: str, reason: str) -> NoReturn:
        raise BadModel(self.path, f"{self._prefix}{key} {reason}")

    def _present(self, key: str, default: object) -> object:
        value = self.raw(key)
        if value is None:
            value = default
        if value is None:
            self.refuse(key, "is missing")
        return value


def _shown(value: object) -> str:
    """Short, whatever the file holds. A huge integer is not turned into digits."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 64:
        return f"an integer of {value.bit_length():,} bits"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
