"""What a workload is told in words or in a file: numbers and names, and how what is wrong with one is said.

Owns the bounds. Knows no format.
"""

from datetime import UTC, datetime
from math import isfinite

most_tokens = 1 << 24  # of a prompt, of an answer: no model's context is longer
most_s = 1e9  # thirty years
class_characters = 32


class BadWorkload(ValueError):
    """It cannot be used. The message is one line: file, line and field, or the words, and what is wrong."""


def tokens(value: object, where: str, least: int = 0) -> int:
    """From a CSV's text or a JSON number; 374.0 is one, 374.5, true and NaN are none."""
    if isinstance(value, str):
        text = value.strip()
        whole, _, rest = text.partition(".")
        if not rest.strip("0") and whole.isascii() and whole.isdigit() and len(whole) <= 9:
            value = int(whole)
    elif isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is not int or not least <= value <= most_tokens:
        raise BadWorkload(f"{where}: {shown(value)} is not a whole number from {least} to {most_tokens:,}")
    return value


def number(value: object, where: str, low: float, high: float) -> float:
    if isinstance(value, str):
        value = _as_float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise BadWorkload(f"{where}: {shown(value)} is not a number from {low:g} to {high:g}")
    return float(value)


def moment(value: object, where: str) -> float:
    """Seconds: a number, or a date and time in the manner of ISO 8601, without a zone in UTC."""
    if isinstance(value, str):
        seconds = _as_float(value)
        if isinstance(seconds, str):
            try:
                date = datetime.fromisoformat(value.strip())
            except ValueError:
                raise BadWorkload(f"{where}: {shown(value)} is neither seconds nor a date") from None
            return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
        value = seconds
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise BadWorkload(f"{where}: {shown(value)} is not a number of seconds")
    return float(value)


def class_name(value: object, where: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= class_characters or not value.isprintable():
        words = f"{shown(value)} is not a name of 1 to {class_characters} characters"
        raise BadWorkload(f"{where}: {words}")
    return value


def shown(value: object) -> str:
    """A value as messages may show it."""
    if value is None:
        return "nothing"
    text = repr(value[:40] if isinstance(value, str) else value)
    return text if len(text) <= 60 else text[:57] + "..."


def _as_float(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
