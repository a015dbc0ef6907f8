"""A recording: who asked when, for how much, as which class, and how it ended; one line where a choice ends.

Owns the file and the one thread that writes it. Neither text nor token ids get there: what prompts have in
common is told by hashes under a key that is drawn for each recording and kept nowhere, so that nobody finds
a text by hashing likely ones. Serving never waits for the disk: what that cannot take is lost, and said.
"""

import json
import logging
import os
import secrets
from array import array
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from io import FileIO
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from headway.core.types import Finished, Refused, Request

log = logging.getLogger("headway.server")

block_tokens = 16  # of the prompt that one hash stands for, with all before it
digest_bytes = 8
most_pending_tokens = 32 << 20  # of prompts that wait for the disk: 128 MB
most_pending = 100_000
last_words_s = 5.0  # how long the end of a run waits for the disk


class Asked:
    """A request that is open, and later the answer to what its prompt begins with."""

    __slots__ = ("left", "prefix", "request")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.left = request.choices
        self.prefix: list[str] | None = None  # the writer's: worked out once for all choices


class End:
    __slots__ = ("asked", "output_tokens", "reason")

    def __init__(self, asked: Asked, reason: str, output_tokens: int) -> None:
        self.asked = asked
        self.reason = reason
        self.output_tokens = output_tokens


@contextmanager
def recording(path: Path | None, started_s: float) -> Iterator["Recorder | None"]:
    """Into a file that is not there yet, readable by its owner alone; gone again if nothing was written.

    None: nothing is recorded. Times count from `started_s`. Raises FileExistsError and other OSErrors.
    """
    if path is None:
        yield None
        return
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with FileIO(os.open(path, flags, 0o600), "wb") as file:
        recorder = Recorder(file, str(path), started_s)
        try:
            yield recorder
        finally:
            recorder.close()
            if os.fstat(file.fileno()).st_size == 0:
                path.unlink(missing_ok=True)


class Recorder:
    """Told of requests and ends by the event loop's thread; writes in its own."""

    def __init__(self, file: FileIO, name: str, started_s: float) -> None:
        self.lines = 0  # that are in the file
        self.lost = 0  # ends that the disk was too slow for
        self.stopped = False  # the disk took no more
        self._file = file
        self._name = name
        self._started_s = started_s
        self._bytes = 0
        self._open: dict[int, Asked] = {}
        self._ends: SimpleQueue[End | None] = SimpleQueue()
        self._put_tokens = self._done_tokens = 0  # each has one thread that adds to it
        self._key = secrets.token_bytes(32)
        self._writer = Thread(target=self._write_all, name="headway-record", daemon=True)
        self._writer.start()

    # ---- the event loop's side

    def opened(self, request: Request) -> None:
        self._open[request.id] = Asked(request)

    def ended(self, event: Finished | Refused) -> None:
        asked = self._open[event.request_id]
        asked.left -= 1
        if isinstance(event, Refused) or not asked.left:
            del self._open[event.request_id]
        self._put(asked, event.reason, 0 if isinstance(event, Refused) else event.output_tokens)

    def close(self) -> None:
        """Whatever is open has ended with an error: the engine is gone."""
        for asked in self._open.values():
            for _ in range(asked.left):
                self._put(asked, "error", 0)
        self._open.clear()
        self._ends.put(None)
        self._writer.join(last_words_s)
        if self.lost:
            log.error("recording to %s: %d lines were lost, the disk was too slow", self._name, self.lost)

    def _put(self, asked: Asked, reason: str, output_tokens: int) -> None:
        if self.stopped:
            return
        waiting = self._put_tokens - self._done_tokens
        if waiting > most_pending_tokens or self._ends.qsize() > most_pending:
            self.lost += 1
            if self.lost == 1:
                log.error("recording to %s: the disk is too slow, lines are being lost", self._name)
            return
        self._put_tokens += len(asked.request.prompt)
        self._ends.put(End(asked, reason, output_tokens))

    # ---- the writer's

    def _write_all(self) -> None:
        """All that waits in one write, as soon as there is something."""
        ending = False
        while not ending and not self.stopped:
            ends = [self._ends.get()]
            while len(ends) < 256 and not self._ends.empty():
                ends.append(self._ends.get())
            ending = None in ends
            self._write([self._line(end) for end in ends if end is not None])

    def _write(self, lines: list[bytes]) -> None:
        """Whole lines, or none of the last: what a full disk cuts short is taken back."""
        data, written = b"".join(lines), 0
        try:
            while written < len(data):
                written += self._file.write(data[written:])
        except OSError as error:
            self.stopped = True
            whole = data.rfind(b"\n", 0, written) + 1
            self.lines += data.count(b"\n", 0, whole)
            with suppress(OSError):
                self._file.truncate(self._bytes + whole)
            words = "recording to %s has stopped after %d lines: %s; requests are served as before"
            log.error(words, self._name, self.lines, error.strerror)
            return
        self._bytes += len(data)
        self.lines += len(lines)

    def _line(self, end: End) -> bytes:
        asked, request = end.asked, end.asked.request
        if asked.prefix is None:
            asked.prefix = prefix_hashes(request.prompt, request.cache_salt, self._key)
        self._done_tokens += len(request.prompt)
        line: dict[str, object] = {
            "at_s": round(max(0.0, request.arrival_s - self._started_s), 6),
            "prompt_tokens": len(request.prompt),
            "output_tokens": end.output_tokens,
            "max_tokens": request.sampling.max_tokens,
            "class": request.service_class,
            "finish_reason": end.reason,
        }
        if asked.prefix:
            line |= {"block_tokens": block_tokens, "prefix": asked.prefix}
        return json.dumps(line, separators=(",", ":")).encode() + b"\n"


def prefix_hashes(prompt: "array[int]", cache_salt: bytes, key: bytes) -> list[str]:
    """Of each full block, with all before it; tenants whose cache is kept apart share none."""
    parent = blake2b(cache_salt, digest_size=digest_bytes, key=key).digest()
    hashes = []
    for first in range(0, len(prompt) - block_tokens + 1, block_tokens):
        content = parent + prompt[first : first + block_tokens].tobytes()
        parent = blake2b(content, digest_size=digest_bytes, key=key).digest()
        hashes.append(parent.hex())
    return hashes
