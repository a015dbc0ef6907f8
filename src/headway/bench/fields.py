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
    found = value
    if isinstance(value, str):
        whole, _, rest = value.strip().partition(".")
        if not rest.strip("0") and whole.isascii() and whole.isdigit() and len(whole) <= 9:
            found = int(whole)
    elif isinstance(value, float) and value.is_integer():
        found = int(value)
    if type(found) is not int or not least <= found <= most_tokens:
        raise BadWorkload(f"{where}: {shown(value)} is not a whole number from {least} to {most_tokens:,}")
    return found


def number(value: object, where: str, low: float, high: float) -> float:
    found = _number(value)
    if found is None or not low <= found <= high:
        raise BadWorkload(f"{where}: {shown(value)} is not a number from {low:g} to {high:g}")
    return found


def moment(value: object, where: str) -> float:
    """Seconds: a number, or a date and time in the manner of ISO 8601, without a zone in UTC."""
    found = _number(value)
    if found is not None and isfinite(found):
        return found
    if found is None and isinstance(value, str):
        try:
            date = datetime.fromisoformat(value.strip())
        except ValueError:
            raise BadWorkload(f"{where}: {shown(value)} is neither seconds nor a date") from None
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    raise BadWorkload(f"{where}: {shown(value)} is not a number of seconds")


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


def _number(value: object) -> float | None:
    """None: it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None
