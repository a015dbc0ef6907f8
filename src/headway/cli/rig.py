"""An engine that is measured by hand: its executor batch by batch, or all of it over a few requests.

Owns waiting for it on the caller's thread. Importing this brings torch.
"""

from array import array
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Event as Bell
from time import monotonic

from headway.build import build_engine
from headway.config import Settings
from headway.core.types import (
    Batch,
    Cancel,
    Event,
    Finished,
    Letter,
    Refused,
    Request,
    Result,
    Sampling,
    Stepped,
    Token,
)
from headway.server.wire import events_frame


class Rig:
    """Inbox and sink of an engine that runs only while `serve` does. To be closed."""

    def __init__(self, settings: Settings, path: Path, told: Callable[[str, float], None]) -> None:
        self._bell = Bell()
        self._letters: deque[Request] = deque()
        self._leaving: list[Cancel] = []
        self._frames: list[Stepped] = []
        self._open = self.next_id = 0
        self._lengths: Mapping[int, int] = {}
        self.stamps: defaultdict[int, list[float]] = defaultdict(list)  # by request: when its tokens came
        self.built = build_engine(settings, path, self, self, self._bell.set, told)

    def step(self, batch: Batch) -> Result:
        """Run one batch past the engine, and wait for it."""
        executor = self.built.executor
        executor.submit(batch)
        while (result := executor.collect()) is None:
            self._bell.wait()
            self._bell.clear()
        return result

    def serve_together(self, prompts: Sequence["array[int]"], output_tokens: int) -> list[Stepped]:
        """All handed in at once, run until each has so many tokens; a frame for each step."""
        now_s, ids = monotonic(), range(self.next_id, self.next_id + len(prompts))
        sampling = Sampling(max_tokens=output_tokens, seed=0, ignore_eos=True)
        pairs = zip(ids, prompts, strict=True)
        return self.serve([Request(id, p, sampling, now_s, service_class="batch") for id, p in pairs])

    def serve(self, requests: Sequence[Request], lengths: Mapping[int, int] | None = None) -> list[Stepped]:
        """Each handed in when it arrives, in their order, with ids from `next_id` on; until the last has
        ended. By request, `lengths` are the tokens after which its client leaves, if the answer goes on.
        """
        self._letters.extend(requests)
        self._lengths = lengths or {}
        self._open, self._frames = len(requests), []
        self.next_id += len(requests)
        self.built.engine.run()
        return self._frames

    def close(self) -> None:
        self.built.executor.close()

    def take(self, now: float) -> list[Letter]:
        due: list[Letter] = [*self._leaving]
        self._leaving = []
        while self._letters and self._letters[0].arrival_s <= now:
            due.append(self._letters.popleft())
        return due

    def wait(self, until: float | None) -> bool:
        if self._open:
            times = [] if until is None else [until]
            if self._leaving:
                times.append(0.0)
            if self._letters:
                times.append(self._letters[0].arrival_s)
            self._bell.wait(max(0.0, min(times) - monotonic()) if times else None)
            self._bell.clear()
        return self._open > 0

    def publish(self, now: float, events: Sequence[Event]) -> None:
        events_frame(events)  # what a server does with them, but for sending
        for event in events:
            assert not isinstance(event, Refused), f"the engine refused a prompt: {event}"
            self._open -= isinstance(event, Finished)
            if isinstance(event, Token):
                self._heard(event)
            elif isinstance(event, Stepped):
                self._frames.append(event)

    def _heard(self, token: Token) -> None:
        stamps = self.stamps[token.request_id]
        stamps.append(token.at_s)
        if len(stamps) == self._lengths.get(token.request_id):
            self._leaving.append(Cancel(token.request_id))
