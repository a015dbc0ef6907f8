"""An engine that is measured by hand: its executor batch by batch, or all of it over a few requests.

Owns waiting for it on the caller's thread. Importing this brings torch.
"""

from array import array
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event as Bell
from time import monotonic

from headway.build import build_engine
from headway.config import Settings
from headway.core.types import Batch, Event, Finished, Refused, Request, Result, Sampling, Stepped
from headway.server.wire import events_frame


class Rig:
    """Inbox and sink of an engine that runs only while `serve` does. To be closed."""

    def __init__(self, settings: Settings, path: Path, told: Callable[[str, float], None]) -> None:
        self._bell = Bell()
        self._letters: deque[Request] = deque()
        self._frames: list[Stepped] = []
        self._open = self._next_id = 0
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
        now_s, ids = monotonic(), range(self._next_id, self._next_id + len(prompts))
        self._next_id += len(prompts)
        sampling = Sampling(max_tokens=output_tokens, seed=0, ignore_eos=True)
        pairs = zip(ids, prompts, strict=True)
        return self.serve([Request(id, p, sampling, now_s, service_class="batch") for id, p in pairs])

    def serve(self, requests: Sequence[Request]) -> list[Stepped]:
        """Each handed in when it arrives, in their order; until the last has ended."""
        self._letters.extend(requests)
        self._open, self._frames = len(requests), []
        self.built.engine.run()
        return self._frames

    def close(self) -> None:
        self.built.executor.close()

    def take(self, now: float) -> list[Request]:
        due = []
        while self._letters and self._letters[0].arrival_s <= now:
            due.append(self._letters.popleft())
        return due

    def wait(self, until: float | None) -> bool:
        if self._open:
            times = [] if until is None else [until]
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
            if isinstance(event, Stepped):
                self._frames.append(event)
