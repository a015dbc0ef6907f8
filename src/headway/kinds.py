"""What one setting may be: bounds, the words for them, and how a text is read as such a value.

Knows no setting by name; those stand in `config.py`.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from headway.classes import read_seconds


class Kind(NamedTuple):
    """What a setting may be."""

    metavar: str
    words: str  # completes "... is not ..."
    read: Callable[[str], object]  # from text; raises ValueError
    allows: Callable[[Any], bool]
    choices: tuple[str, ...] = ()  # where it is one of a few names


def whole(low: int, high: int, metavar: str = "N") -> Kind:
    words = f"a whole number from {low:,} to {high:,}"
    return Kind(metavar, words, int, lambda value: type(value) is int and low <= value <= high)


def choice(*names: str) -> Kind:
    return Kind("NAME", "one of " + ", ".join(names), str, lambda value: value in names, names)


def text(metavar: str, longest: int = 4096) -> Kind:
    words = f"a text of 1 to {longest:,} printable characters"
    return Kind(
        metavar, words, str, lambda v: isinstance(v, str) and 0 < len(v) <= longest and v.isprintable()
    )


def seconds(most: float) -> Kind:
    def allows(value: object) -> bool:
        return isinstance(value, int | float) and type(value) is not bool and 0 <= value <= most

    return Kind(
        "SECONDS", f"a time from 0 to {most:g} seconds, such as 0.5, 2s or 50ms", read_seconds, allows
    )


def _read_bytes(text: str) -> int:
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,6})?) ?(?:([KMGT])(i?)B)?", text)
    if match is None:
        raise ValueError(text)
    power = " KMGT".index(match[2] or " ")
    return int(float(match[1]) * (1024 if match[3] else 1000) ** power)


def _read_switch(text: str) -> bool:
    return {"true": True, "false": False, "on": True, "off": False, "1": True, "0": False}[text.lower()]


memory = Kind(
    "BYTES", "a size such as 512MiB or 2GiB", _read_bytes, lambda v: type(v) is int and 0 < v < 1 << 50
)
switch = Kind("BOOL", "true or false", _read_switch, lambda value: type(value) is bool)
