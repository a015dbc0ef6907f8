"""What the API process and the engine process say to each other: frames of msgpack on a stream socket.

Owns the frames, their sizes and their checks. Knows neither sockets nor processes. A frame is its length
(four bytes, big-endian) and a msgpack array that begins with the kind's number. Token ids travel as bytes.
"""

from array import array
from collections.abc import Iterator, Sequence
from typing import NewType

import msgspec

from headway.core.slo import ServiceClass, Targets
from headway.core.types import (
    Accepted,
    Cancel,
    Event,
    Finished,
    Letter,
    PromptScored,
    Refused,
    Request,
    Retune,
    Retuned,
    Sampling,
    Stepped,
    Token,
    type_code,
)
from headway.metrics.ledger import Standing
from headway.metrics.roof import Roof

frame_bytes = 64 << 20  # the largest frame; a prompt of 10 million tokens is smaller
header_bytes = 4
heartbeat_s = 0.2  # the engine tells how it stands so often, unless it hangs

Frame = NewType("Frame", bytes)  # one whole frame, its length included


class BadFrame(Exception):
    """Bytes that no honest peer sends. The connection they came by cannot be read on."""


class Submit(msgspec.Struct, array_like=True, frozen=True, tag=0):
    """API to engine: a request, its prompt as the bytes of its array."""

    id: int
    prompt: bytes
    sampling: Sampling
    arrival_s: float
    choices: int
    service_class: str
    own: Targets
    cache_salt: bytes


class Withdraw(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """API to engine: a cancel."""

    cancel: Cancel


class Change(msgspec.Struct, array_like=True, frozen=True, tag=7):
    """API to engine: other classes, and another policy unless None."""

    id: int
    classes: tuple[ServiceClass, ...]
    policy: str | None


class Phase(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """Engine to API: a phase of loading is over, and took so long."""

    name: str
    seconds: float


class Facts(msgspec.Struct, array_like=True, frozen=True, tag=3):
    """Engine to API: loaded, and this is what it can do."""

    vocab: int
    max_model_len: int  # tokens of one sequence, prompt and output
    block_size: int
    blocks: int
    max_queued: int  # sequences that may wait
    roof: Roof | None = None  # None: what the machine can do was not measured


class Failed(msgspec.Struct, array_like=True, frozen=True, tag=4):
    """Engine to API: it cannot start, or is about to end; the message is for people."""

    message: str


class Heartbeat(msgspec.Struct, array_like=True, frozen=True, tag=5):
    """Engine to API: the loop turns, and this is how it stands."""

    in_flight: int  # batches that the executor has
    standing: Standing


class Events(msgspec.Struct, array_like=True, frozen=True, tag=6):
    """Engine to API: what one turn gave, by kind in the order that each choice lives through.

    So a choice's own events keep their order, and no kind needs a tag of its own.
    """

    accepted: list[Accepted]
    refused: list[Refused]
    prompt_scored: list[PromptScored]
    tokens: list[Token]
    finished: list[Finished]
    stepped: list[Stepped]
    retuned: list[Retuned]

    def in_order(self) -> Iterator[Event]:
        yield from self.accepted
        yield from self.refused
        yield from self.prompt_scored
        yield from self.tokens
        yield from self.finished
        yield from self.stepped
        yield from self.retuned


Sent = Submit | Withdraw | Change
Report = Phase | Facts | Failed | Heartbeat | Events

_encoder = msgspec.msgpack.Encoder()
_letters: msgspec.msgpack.Decoder[Sent] = msgspec.msgpack.Decoder(Sent)
_reports: msgspec.msgpack.Decoder[Report] = msgspec.msgpack.Decoder(Report)


def to_frame(message: Sent | Report) -> Frame:
    """Raises BadFrame if it is too large to be read."""
    body = _encoder.encode(message)
    if len(body) > frame_bytes:
        raise BadFrame(f"a frame of {len(body):,} bytes is over the limit of {frame_bytes:,}")
    return Frame(len(body).to_bytes(header_bytes, "big") + body)


def request_frame(request: Request) -> Frame:
    return to_frame(
        Submit(
            request.id,
            request.prompt.tobytes(),
            request.sampling,
            request.arrival_s,
            request.choices,
            request.service_class,
            request.own,
            request.cache_salt,
        )
    )


def events_frame(events: Sequence[Event]) -> Frame:
    lists: dict[type[Event], list[Event]] = {kind: [] for kind in _kinds}
    for event in events:
        lists[type(event)].append(event)
    return to_frame(Events(*lists.values()))  # type: ignore[arg-type]


_kinds: tuple[type[Event], ...] = (Accepted, Refused, PromptScored, Token, Finished, Stepped, Retuned)


def read_letter(body: bytes) -> Letter:
    """A frame's body as the engine takes it. Raises BadFrame, also for requests that no door lets through."""
    try:
        letter = _letters.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadFrame(f"not a letter: {error}") from error
    if isinstance(letter, Withdraw):
        return letter.cancel
    if isinstance(letter, Change):
        return Retune(letter.id, letter.classes, letter.policy)
    prompt = array(type_code)
    if not letter.prompt or len(letter.prompt) % prompt.itemsize:
        raise BadFrame(f"a prompt of {len(letter.prompt)} bytes is no array of tokens")
    prompt.frombytes(letter.prompt)
    if min(prompt) < 0 or letter.choices < 1 or letter.sampling.max_tokens < 1:
        raise BadFrame("a request that no door lets through")
    return Request(
        letter.id,
        prompt,
        letter.sampling,
        letter.arrival_s,
        letter.choices,
        letter.service_class,
        letter.own,
        letter.cache_salt,
    )


def read_report(body: bytes) -> Report:
    """A frame's body as the API process takes it. Raises BadFrame."""
    try:
        return _reports.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadFrame(f"not a report: {error}") from error


class Splitter:
    """Cuts a stream of bytes, in whatever pieces it comes, into the bodies of its frames."""

    def __init__(self, limit: int = frame_bytes) -> None:
        self.limit = limit  # of a body
        self._buffer = bytearray()

    def push(self, data: bytes) -> list[bytes]:
        """The bodies that are whole now. Raises BadFrame as soon as a length is over the limit."""
        buffer = self._buffer
        buffer += data
        bodies, at = [], 0
        while len(buffer) - at >= header_bytes:
            length = int.from_bytes(buffer[at : at + header_bytes], "big")
            if length > self.limit:
                raise BadFrame(f"a frame of {length:,} bytes is over the limit of {self.limit:,}")
            end = at + header_bytes + length
            if end > len(buffer):
                break
            bodies.append(bytes(buffer[at + header_bytes : end]))
            at = end
        del buffer[:at]
        return bodies
