"""One exchange with an OpenAI-compatible server, as bytes: what is sent, what its answer says as it comes.

Owns the fields of both APIs and their reading; HTTP is httptools', JSON msgspec's. An answer's tokens are
counted by the server's own count where each event brings one (`continuous_usage_stats`), else one for each
event with text; the count at the end, where there is one, says how many there were in truth.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec
from httptools import HttpParserError, HttpResponseParser

most_error_bytes, most_error_words = 4096, 300


class BadTarget(ValueError):
    """What cannot be asked. The message is one line: what, why, and what would work."""


class Api(StrEnum):
    COMPLETIONS = "completions"
    CHAT = "chat"


class Dialect(NamedTuple):
    """What a server takes beyond OpenAI's own fields."""

    counts: bool  # continuous_usage_stats
    lengths: bool  # ignore_eos: an answer is as long as asked for
    classes: bool  # service_tier with a class's name, cache_salt


HEADWAY, WIDE, PLAIN = Dialect(True, True, True), Dialect(True, True, False), Dialect(False, False, False)


@dataclass(frozen=True, slots=True)
class Target:
    """A server as it is asked."""

    host: str
    port: int
    tls: bool
    path: str  # before /completions
    model: str
    api: Api = Api.COMPLETIONS
    dialect: Dialect = HEADWAY
    key: str | None = None

    def request(self, asked: "Asked") -> bytes:
        body = json.dumps(self._fields(asked)).encode()
        lines = [
            f"POST {self.path}/{'chat/' if self.api is Api.CHAT else ''}completions HTTP/1.1",
            f"Host: {f'[{self.host}]' if ':' in self.host else self.host}:{self.port}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            "Connection: close",
            *([f"Authorization: Bearer {self.key}"] if self.key else []),
        ]
        return "\r\n".join([*lines, "", ""]).encode() + body

    def _fields(self, asked: "Asked") -> dict[str, object]:
        dialect, options = self.dialect, {"include_usage": True}
        fields: dict[str, object] = {
            "model": self.model,
            "max_tokens": asked.output_tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": options,
        }
        text = asked.prompt if isinstance(asked.prompt, str) else list(asked.prompt)
        if self.api is Api.CHAT:
            fields["messages"] = [{"role": "user", "content": text}]
        else:
            fields["prompt"] = text
        if dialect.counts:
            options["continuous_usage_stats"] = True
        if dialect.lengths:
            fields["ignore_eos"] = True
        if dialect.classes:
            fields["service_tier"] = asked.service_class
            if asked.salt:
                fields["cache_salt"] = asked.salt
        return fields


def read_target(url: str, model: str, *, api: Api = Api.COMPLETIONS, key: str | None = None) -> Target:
    """Of http://host:8000, with or without /v1 or what stands before it. Raises BadTarget."""
    parts = urlsplit(url)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise BadTarget(f"{url}: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadTarget(f"{url}: no address such as http://127.0.0.1:8000")
    path = parts.path.rstrip("/")
    return Target(
        parts.hostname, port, parts.scheme == "https", path if path.endswith("/v1") else f"{path}/v1", model,
        api, key=key,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it is meant."""

    at_s: float
    service_class: str
    prompt: Sequence[int] | str
    output_tokens: int
    salt: str = ""  # requests with different ones share no cached prefix


class Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Timings(msgspec.Struct):  # ours
    host_ms: float | None = None
    total_ms: float | None = None


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class _Choice(msgspec.Struct):
    text: str | None = None
    delta: _Delta | None = None
    finish_reason: str | None = None

    @property
    def has_text(self) -> bool:
        of = self.delta
        return bool(self.text or (of and (of.content or of.reasoning_content or of.reasoning)))


class _Event(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: Usage | None = None
    timings: _Timings | None = None
    error: msgspec.Raw = msgspec.Raw(b"")


_event = msgspec.json.Decoder(_Event)


class Reading:
    """A response as it comes, in whatever pieces."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.retry_after_s: float | None = None
        self.tokens = 0  # as far as they are told
        self.chunks = 0  # events with text
        self.usage: Usage | None = None
        self.in_engine_s: float | None = None  # by our server's own account
        self.finished = False  # the answer has come to its end
        self.over = False  # and so has the response
        self.error = ""
        self._counted: bool | None = None  # every event brings a count; None: none has come
        self._streams = False
        self._rest = b""
        self._parser = HttpResponseParser(self)

    @property
    def surplus(self) -> int:
        """Tokens of the answer that no event was counted for."""
        return max(0, self.usage.completion_tokens - self.tokens) if self.usage is not None else 0

    def feed(self, data: bytes) -> None:
        if self.over:
            return
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            self.error, self.over = self.error or f"not HTTP: {error}", True

    def on_header(self, name: bytes, value: bytes) -> None:
        match name.lower():
            case b"retry-after" if value.strip().isdigit():
                self.retry_after_s = float(value)
            case b"content-type":
                self._streams = value.startswith(b"text/event-stream")

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        """An event ends with an empty line."""
        self._rest = (self._rest + body).replace(b"\r\n", b"\n")
        if self.status == 200 and self._streams:
            *events, self._rest = self._rest.split(b"\n\n")
            for event in events:
                self._read(event)
        else:
            self._rest = self._rest[:most_error_bytes]

    def on_message_complete(self) -> None:
        self.over = True
        if self.status != 200:
            self.error = _words(self._rest)
        elif not self._streams:
            self.error = "the answer is no event stream"

    def _read(self, event: bytes) -> None:
        for line in event.split(b"\n"):
            if line.startswith(b"data:"):
                self._data(line[5:].strip())

    def _data(self, data: bytes) -> None:
        if data == b"[DONE]":
            self.finished = True
            return
        try:
            event = _event.decode(data)
        except msgspec.DecodeError as error:
            self.error = self.error or f"an event that cannot be read: {error}"
            return
        if event.error and event.error != b"null":
            self.error = _words(bytes(event.error))
        choices = event.choices or []
        if event.usage is not None:
            self.usage = event.usage
        if choices:
            self._count(choices, event.usage)
        timings = event.timings
        if timings is not None and timings.total_ms is not None and timings.host_ms is not None:
            self.in_engine_s = (timings.total_ms - timings.host_ms) / 1e3

    def _count(self, choices: Sequence[_Choice], usage: Usage | None) -> None:
        has_text = any(choice.has_text for choice in choices)
        self.chunks += has_text
        self.finished = self.finished or any(choice.finish_reason for choice in choices)
        if self._counted is None:
            self._counted = usage is not None and not self.finished
        if not self._counted:
            self.tokens += has_text
        elif usage is not None:
            self.tokens = max(self.tokens, usage.completion_tokens)


def _words(body: bytes) -> str:
    """What a server says went wrong, in one line."""
    try:
        said = json.loads(body)
        while isinstance(said, dict):
            said = said.get("error") or said.get("message") or said.get("detail") or str(said)
    except ValueError:
        said = body.decode(errors="replace")
    return " ".join(str(said).split())[:most_error_words]
