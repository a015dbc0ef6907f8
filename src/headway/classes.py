"""Service classes as people write them: the built-in ones, changed and joined by `NAME:KEY=VALUE,...`; and
what leads to them, `NAME=CLASS`.

Owns the spelling, the least that may be promised, and that downgrades come to an end. What a class means is
`core/slo.py`'s.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from headway.core.slo import BATCH, BUILT_IN, Overload, ServiceClass

least_target_s, most_target_s = 0.001, 86_400.0
most_classes = 32  # each is a label of every metric
most_names = 64  # of classes, in the life of a server that changes them: a label stays
tier_words = ("auto", "default", "flex", "scale", "priority", "fast")  # OpenAI's, no names for classes

_times = {
    "ttft": "ttft_p95_s",
    "itl": "itl_p95_s",
    "deadline": "deadline_s",
    "max-wait": "max_wait_s",
}
_targets = ("ttft_p95_s", "itl_p95_s", "deadline_s")
class_keys = (*_times, "weight", "level", "on-overload")
_downgrade = "downgrade:"


def read_classes(text: str | None, base: Mapping[str, ServiceClass] = BUILT_IN) -> Mapping[str, ServiceClass]:
    """Those of `base` as `text` changes and joins them: any number of `NAME:KEY=VALUE,...` with ; between.

    Raises ValueError, in one line that says what would work.
    """
    classes, given = dict(base), set()
    for written in filter(None, (part.strip() for part in (text or "").split(";"))):
        name, colon, pairs = (part.strip() for part in written.partition(":"))
        _check_name(name, colon)
        if name in given:
            raise ValueError(f"{name}: it is given twice; give all its keys at once")
        given.add(name)
        changes = _changes(name, pairs)
        if name not in classes and not any(changes.get(target) for target in _targets):
            changes = {"level": BATCH.level} | changes  # who is promised nothing stands in nobody's way
        try:
            classes[name] = replace(classes.get(name, ServiceClass(name=name)), **changes)
        except ValueError as error:
            raise ValueError(str(error).removeprefix("class ")) from None
    if len(classes) > most_classes:
        raise ValueError(f"{len(classes)} classes are over the limit of {most_classes}")
    for name in classes:
        _check_downgrades(name, classes)
    return classes


def leading_to(classes: Collection[str], text: str | None, *, secret: bool) -> Mapping[str, str]:
    """Names and the classes they lead to: any number of `NAME=CLASS` with ; between. A name may have a =.

    secret: the names are keys, and nothing of the text is in a message. Raises ValueError, in one line.
    """
    found: dict[str, str] = {}
    for number, written in enumerate(filter(None, (part.strip() for part in (text or "").split(";"))), 1):
        name, _, led_to = (part.strip() for part in written.rpartition("="))
        where, noun = (f"number {number}", "key") if secret else (repr(written[:40]), "name")
        if not name or led_to not in classes:
            raise ValueError(f"{where} is not a {noun}, = and a class; there are {', '.join(classes)}")
        if name in found:
            raise ValueError(f"{where}: that {noun} is given twice; it can lead to one class alone")
        found[name] = led_to
    return found


def read_seconds(text: str) -> float:
    """Of `2s`, `200ms` or `2`. Raises ValueError."""
    return float(text[:-2]) / 1e3 if text.endswith("ms") else float(text.removesuffix("s"))


def _check_name(name: str, colon: str) -> None:
    if not colon:
        raise ValueError(f"{name[:40]!r} has no keys; write it as NAME:KEY=VALUE, such as gold:ttft=200ms")
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", name):
        raise ValueError(
            f"{name[:40]!r} is no name; one has 1 to 32 of a-z, 0-9, - and _, and begins with a letter"
        )
    if name in tier_words:
        raise ValueError(f"{name} is a word of OpenAI's service_tier; give the class another name")


def _changes(name: str, pairs: str) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for pair in pairs.split(","):
        key, equals, value = (part.strip() for part in pair.partition("="))
        key = key.replace("_", "-")
        if key not in class_keys or not equals:
            near = get_close_matches(key, class_keys, 1)
            hint = f"did you mean {near[0]}?" if near else f"the keys are {', '.join(class_keys)}"
            raise ValueError(f"{name}: {pair.strip()[:40]!r} is no KEY=VALUE that is known; {hint}")
        new = _read(f"{name}: {key}", key, value)
        if new.keys() & changes.keys():
            raise ValueError(f"{name}: {key} is given twice")
        changes |= new
    return changes


def _read(where: str, key: str, value: str) -> dict[str, Any]:
    if key in _times:
        return {_times[key]: None if value == "none" else _target_s(where, value)}
    if key == "on-overload":
        return _overload(where, value)
    try:
        return {key: int(value) if key == "level" else float(value)}
    except ValueError:
        kind = "a whole number from 0 to 99" if key == "level" else "a number above 0"
        raise ValueError(f"{where} is {value[:40]!r}; it must be {kind}") from None


def _target_s(where: str, value: str) -> float:
    try:
        seconds = read_seconds(value)
    except ValueError:
        raise ValueError(
            f"{where} is {value[:40]!r}; it must be a time such as 200ms or 2s, or none"
        ) from None
    if not least_target_s <= seconds <= most_target_s:
        raise ValueError(f"{where} is {value[:40]}; it must be from 1ms to {most_target_s:.0f}s, or none")
    return seconds


def _overload(where: str, value: str) -> dict[str, Any]:
    if value.startswith(_downgrade):
        return {"on_overload": Overload.DOWNGRADE, "downgrade_to": value.removeprefix(_downgrade).strip()}
    if value not in (Overload.ACCEPT, Overload.REFUSE):
        raise ValueError(f"{where} is {value[:40]!r}; it must be accept, refuse or downgrade:OTHER")
    return {"on_overload": Overload(value), "downgrade_to": None}


def _check_downgrades(name: str, classes: Mapping[str, ServiceClass]) -> None:
    """Follow them from one class on."""
    passed = [name]
    while (to := classes[passed[-1]].downgrade_to) is not None:
        if to not in classes:
            others = ", ".join(other for other in classes if other != name)
            raise ValueError(f"{passed[-1]}: it is downgraded to {to[:40]!r}, no class; there are {others}")
        if to in passed:
            circle = " to ".join((*passed, to))
            raise ValueError(f"downgrades go in a circle, {circle}; let one of them accept or refuse")
        passed.append(to)
