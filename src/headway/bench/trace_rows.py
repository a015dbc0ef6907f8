"""The rows of a file that says who asked when: CSV or one JSON object a line, read as a stream.

Owns how lines become values, in a few layouts that are told apart by their first line. Each value is checked
here; what rows mean together is `traces.py`'s.
"""

import csv
import json
import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from headway.bench.fields import BadWorkload, class_name, moment, most_s, most_tokens, number, shown, tokens
from headway.bench.workload import Prefix

line_bytes = 4 << 20  # of 16 million tokens' prefix, in blocks of 64
latest_s = 1e12  # of a clock that began anywhere, in milliseconds too
most_digest = (1 << 64) - 1


class Layout(NamedTuple):
    """What the fields of one kind of trace are called."""

    kind: str
    at: str
    prompt: str
    output: str
    unit_s: float = 1.0  # of a number in `at`; a date needs none
    from_first: bool = True  # the first row is at 0, whatever stands there
    hashes: str = ""
    block_tokens: int | None = None  # None: `block_tokens` says it, line by line

    @property
    def needed(self) -> tuple[str, str, str]:
        return self.at, self.prompt, self.output

    @property
    def fields(self) -> tuple[str, ...]:
        return (*self.needed, "class", "max_tokens", self.hashes, "block_tokens")


LAYOUTS = (
    Layout("plain", "at_s", "prompt_tokens", "output_tokens", from_first=False, hashes="prefix"),
    Layout("azure", "TIMESTAMP", "ContextTokens", "GeneratedTokens"),
    Layout("azure", "arrived_at", "num_prefill_tokens", "num_decode_tokens"),
    Layout("burstgpt", "Timestamp", "Request tokens", "Response tokens"),
    Layout("mooncake", "timestamp", "input_length", "output_length", 0.001, True, "hash_ids", 512),
)
KINDS = tuple(dict.fromkeys(layout.kind for layout in LAYOUTS))


class Row(NamedTuple):
    """One request. None: the file does not say."""

    line: int
    at_s: float
    prompt_tokens: int
    output_tokens: int
    service_class: str | None
    max_tokens: int | None
    prefix: Prefix | None


def rows(path: Path, kind: str | None) -> Iterator[Row]:
    """In the order of the file; `kind` of KINDS, or None to tell by the first line. Raises BadWorkload."""
    numbered = _lines(path)
    first = next(numbered, None)
    if first is None:
        raise BadWorkload(f"{path}: it is empty")
    as_json = first[1].startswith("{")
    names = list(_object(first[1], f"{path} line {first[0]}")) if as_json else _columns(first[1])
    layout = _layout(names, kind, f"{path} line {first[0]}")
    found: Iterator[tuple[int, Mapping[str, Any]]]
    if as_json:
        found = _objects(chain((first,), numbered), path)
    else:
        found = table(numbered, path, names, [name for name in layout.fields if name in names])
    zero_s = None if layout.from_first else 0.0
    for line, values in found:
        try:
            row = _row(line, values, layout, zero_s)
        except BadWorkload as error:
            raise BadWorkload(f"{path} line {line}: {error}") from None
        if zero_s is None:
            zero_s, row = row.at_s, row._replace(at_s=0.0)
        yield row


def table(
    numbered: Iterator[tuple[int, str]], path: Path, columns: Sequence[str], wanted: Sequence[str]
) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Of each line of a CSV file after its first, its number and the wanted columns."""
    line = 1  # the last that was read: a quoted value may run over several

    def texts() -> Iterator[str]:
        nonlocal line
        for line, text in numbered:  # noqa: B007
            yield text

    places = [columns.index(name) for name in wanted]
    try:
        for cells in csv.reader(texts(), strict=True):
            if len(cells) < len(columns):
                raise BadWorkload(f"{path} line {line}: {columns[len(cells)]}: missing")
            if len(cells) > len(columns):
                words = f"{len(cells)} values under {len(columns)} columns"
                raise BadWorkload(f"{path} line {line}: {columns[-1]}: {words}")
            yield line, {name: cells[place] for name, place in zip(wanted, places, strict=True)}
    except csv.Error as error:
        raise BadWorkload(f"{path} line {line}: not CSV: {error}") from None


def header(path: Path) -> tuple[Iterator[tuple[int, str]], list[str]]:
    """The lines after the first that is not empty, and the columns which that one names."""
    numbered = _lines(path)
    _, first = next(numbered, (0, ""))
    return numbered, _columns(first)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Those that are not empty, with their numbers."""
    number = 0
    try:
        with path.open("rb") as file:
            while line := file.readline(line_bytes + 1):
                number += 1
                if len(line) > line_bytes:
                    raise BadWorkload(f"{path} line {number}: longer than {line_bytes:,} bytes")
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                if text:
                    yield number, text
    except OSError as error:
        raise BadWorkload(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadWorkload(f"{path} line {number}: not UTF-8 text") from None


def _columns(line: str) -> list[str]:
    try:
        return [name.strip() for name in next(csv.reader([line], strict=True), [])]
    except csv.Error:
        return []


def _objects(numbered: Iterator[tuple[int, str]], path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, text in numbered:
        yield line, _object(text, f"{path} line {line}")


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise BadWorkload(f"{where}: not JSON") from None
    if not isinstance(found, dict):
        raise BadWorkload(f"{where}: not a JSON object")
    return found


def _layout(names: Sequence[str], kind: str | None, where: str) -> Layout:
    candidates = [layout for layout in LAYOUTS if kind in (None, layout.kind)]
    if not candidates:
        raise BadWorkload(f"{where}: {shown(kind)} is no kind of trace; there are {', '.join(KINDS)}")
    for layout in candidates:
        if set(layout.needed) <= set(names):
            return layout
    nearest = max(candidates, key=lambda layout: len(set(layout.needed) & set(names)))
    missing = [name for name in nearest.needed if name not in names]
    if len(missing) < len(nearest.needed) or kind is not None:
        raise BadWorkload(f"{where}: {missing[0]}: missing, and a trace of {nearest.kind} has it")
    known = "; ".join(f"{layout.kind}: {', '.join(layout.needed)}" for layout in candidates)
    raise BadWorkload(f"{where}: no trace that is known; a first line names fields ({known})")


def _row(line: int, values: Mapping[str, Any], layout: Layout, zero_s: float | None) -> Row:
    """`zero_s`: when the first row was, None for that one. Raises BadWorkload with the field's name."""
    at, prompt, output = layout.needed
    at_s = moment(values.get(at), at) if layout.from_first else number(values.get(at), at, 0.0, most_s)
    if layout.from_first:
        at_s *= layout.unit_s
        if not 0.0 <= at_s - (zero_s or 0.0) <= (most_s if zero_s is not None else latest_s):
            words = f"{shown(values.get(at))} is before the first row, or before 0, or too long after it"
            raise BadWorkload(f"{at}: {words}")
        at_s -= zero_s or 0.0
    prompt_tokens, output_tokens = tokens(values.get(prompt), prompt), tokens(values.get(output), output)
    named, most = values.get("class"), values.get("max_tokens")
    service_class = None if named in (None, "") else class_name(named, "class")
    max_tokens = None if most in (None, "") else tokens(most, "max_tokens", least=1)
    if max_tokens is not None and max_tokens < output_tokens:
        raise BadWorkload(f"max_tokens: {max_tokens} is less than the {output_tokens} tokens of output")
    return Row(line, at_s, prompt_tokens, output_tokens, service_class, max_tokens, _prefix(values, layout))


def _prefix(values: Mapping[str, Any], layout: Layout) -> Prefix | None:
    given = values.get(layout.hashes) if layout.hashes else None
    if isinstance(given, str):
        given = given.split()
    if given in (None, []):
        return None
    if not isinstance(given, list):
        raise BadWorkload(f"{layout.hashes}: {shown(given)} is not a list")
    size = layout.block_tokens or tokens(values.get("block_tokens"), "block_tokens", least=1)
    if len(given) * size > most_tokens + size:
        raise BadWorkload(f"{layout.hashes}: {len(given):,} blocks of {size} are over {most_tokens:,} tokens")
    return Prefix(array("Q", [_digest(one, layout.hashes) for one in given]), size)


def _digest(value: object, field: str) -> int:
    """A number of 64 bits, as such or as up to sixteen hexadecimal digits."""
    found = value
    if isinstance(value, str) and re.fullmatch(r"[0-9a-fA-F]{1,16}", value):
        found = int(value, 16)
    if type(found) is not int or not 0 <= found <= most_digest:
        raise BadWorkload(f"{field}: {shown(value)} is not a hash of 64 bits")
    return found
