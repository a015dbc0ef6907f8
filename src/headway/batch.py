"""OpenAI's batch files: one request a line in, one answer a line out, each pair joined by its custom_id.

Owns the two formats, which answers are kept and how far an answers file has come. Knows no engine and no
server: whoever is asked is handed in.
"""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

URLS = ("/v1/chat/completions", "/v1/completions")
line_bytes = 16 << 20
id_characters = 512
_answer_begins = b'{"id": "headway-'


Post = Callable[[str, dict[str, Any]], Awaitable[tuple[int, dict[str, Any]]]]
"""Sends a body to a URL; the answer's status and body."""


class BadFile(ValueError):
    """A file that cannot be used; the message names file, line and field."""


@dataclass(frozen=True, slots=True)
class Item:
    """One line of a requests file."""

    custom_id: str
    url: str
    body: dict[str, Any]


def read_requests(path: Path) -> Iterator[Item]:
    """Line by line; empty lines are passed over. Raises BadFile at the line that is wrong."""
    seen: dict[str, int] = {}
    for number, line in _lines(path):
        where = f"{path} line {number}"
        item = _item(_object(line, where), where)
        if item.custom_id in seen:
            first = seen[item.custom_id]
            raise BadFile(f"{where}: custom_id: {item.custom_id!r} is taken by line {first}")
        seen[item.custom_id] = number
        yield item


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(line_bytes + 1):
                number += 1
                if len(line) > line_bytes:
                    raise BadFile(f"{path} line {number}: longer than {line_bytes:,} bytes")
                if line.strip():
                    yield number, line
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror}") from error


def _object(line: bytes, where: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadFile(f"{where}: not JSON: {error}") from error
    if not isinstance(found, dict):
        raise BadFile(f"{where}: not a JSON object")
    return found


def _item(found: dict[str, Any], where: str) -> Item:
    custom_id, url, body = found.get("custom_id"), found.get("url"), found.get("body")
    if not isinstance(custom_id, str) or not 0 < len(custom_id) <= id_characters:
        raise BadFile(f"{where}: custom_id: not a text of 1 to {id_characters} characters")
    if any("\ud800" <= character <= "\udfff" for character in custom_id):
        raise BadFile(f"{where}: custom_id: half a character (a lone surrogate) cannot be written")
    if found.get("method", "POST") != "POST":
        raise BadFile(f"{where}: method: not POST")
    if not isinstance(url, str) or url not in URLS:
        raise BadFile(f"{where}: url: not one of {', '.join(URLS)}")
    if not isinstance(body, dict):
        raise BadFile(f"{where}: body: not a JSON object")
    if body.get("stream"):
        raise BadFile(f"{where}: body.stream: an answer in a file is never streamed")
    return Item(custom_id, url, body)


def resume(path: Path) -> set[str]:
    """The custom_ids that an answers file holds; none if there is no file.

    Its last line is ended where it is whole, and goes where it is an answer of ours that was cut short; no
    other byte changes. Raises BadFile, so that a file which holds anything else is never written to.
    """
    answered: set[str] = set()
    if not path.exists():
        return answered
    for number, line in _lines(path):
        where = f"{path} line {number}"
        try:
            found = _object(line, where)
        except BadFile:
            if line.endswith(b"\n") or not _is_ours(line):
                raise
            os.truncate(path, path.stat().st_size - len(line))  # we were killed in the middle of it
            break
        custom_id = found.get("custom_id")
        if not isinstance(custom_id, str):
            raise BadFile(f"{where}: custom_id: missing; not a file of answers")
        answered.add(custom_id)
    _end_last_line(path)
    return answered


def _end_last_line(path: Path) -> None:
    """So that the next answer has a line of its own."""
    try:
        with path.open("rb+") as file:
            file.seek(max(0, path.stat().st_size - 1))
            if file.read(1) not in (b"", b"\n"):
                file.write(b"\n")
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror}") from error


def _is_ours(cut: bytes) -> bool:
    """Whether a line that was cut short may be the beginning of an answer."""
    return cut.startswith(_answer_begins) or _answer_begins.startswith(cut)


async def answer_all(
    post: Post, items: Sequence[Item], out: IO[bytes], at_a_time: int, told: Callable[[int], None]
) -> None:
    """Ask for all items, in their order. `told` hears each answer's status as it comes.

    An answer that stays is a whole line in `out` before that; others are not written.
    """
    coming = iter(items)

    async def work() -> None:
        for item in coming:
            status, body = await post(item.url, item.body)
            if stays(status):
                out.write(answer_line(item, status, body))
                out.flush()
            told(status)

    async with asyncio.TaskGroup() as workers:
        for _ in range(min(len(items), at_a_time)):
            workers.create_task(work())


def stays(status: int) -> bool:
    """Whether asking again would give the same: not where the server, or the moment, was to blame."""
    return status < 500 and status not in (408, 429)


def answer_line(item: Item, status: int, body: dict[str, Any]) -> bytes:
    """A refused request is an answer too: its status and its error stand in `response`."""
    response = {"status_code": status, "request_id": body.get("id", ""), "body": body}
    line = {
        "id": f"headway-{item.custom_id}",
        "custom_id": item.custom_id,
        "response": response,
        "error": None,
    }
    # A half character, quoted in an error, becomes the escape that JSON has for it.
    return json.dumps(line, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
