"""An engine in a thread of the caller's process: its inbox, its sink, its life.

Owns who hears which event. Knows token ids only; text is made by whoever listens.
"""

import time
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from threading import Condition, Lock, Thread

from headway.build import Built, Told, build_engine
from headway.config import Settings
from headway.core.types import Cancel, Event, Finished, Refused, Request, Retuned, Sampling, Stepped
from headway.sizing import Facts


class EngineGone(Exception):
    """The engine was closed, or died: what it held is lost, and it takes no more."""


Listener = Callable[[Event | EngineGone], None]
"""Hears a request's events, in the engine's thread, and returns at once. EngineGone is the last it hears."""


class Mailbox:
    """An inbox that other threads put letters into."""

    def __init__(self) -> None:
        self._letters: deque[Request | Cancel] = deque()
        self._changed = Condition()
        self._woken = False
        self._closed = False

    def put(self, *letters: Request | Cancel) -> None:
        """Letters that are put together are taken together."""
        with self._changed:
            self._letters.extend(letters)
            self._changed.notify()

    def wake(self) -> None:
        with self._changed:
            self._woken = True
            self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()

    def take(self, now: float) -> list[Request | Cancel]:
        with self._changed:
            letters = list(self._letters)
            self._letters.clear()
        return letters

    def wait(self, until: float | None) -> bool:
        with self._changed:
            timeout_s = None if until is None else max(0.0, until - time.monotonic())
            self._changed.wait_for(lambda: self._letters or self._woken or self._closed, timeout_s)
            self._woken = False
            return not self._closed or bool(self._letters)


class Switchboard:
    """A sink that hands each event to the listener of its request, and each frame to `on_step`."""

    def __init__(self) -> None:
        self.on_step: Callable[[Stepped], None] | None = None
        self._listeners: dict[int, Listener] = {}  # by request; one choice each
        self._lock = Lock()
        self._gone: EngineGone | None = None

    def connect(self, request_id: int, listener: Listener) -> None:
        with self._lock:
            if self._gone is not None:
                raise self._gone
            self._listeners[request_id] = listener

    def publish(self, now: float, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, Stepped):
                if self.on_step is not None:
                    self.on_step(event)
                continue
            assert not isinstance(event, Retuned), "nobody asks for it here"
            self._listeners[event.request_id](event)
            if isinstance(event, Finished | Refused):
                del self._listeners[event.request_id]

    def hang_up(self, gone: EngineGone) -> None:
        """Tell everyone who still listens, and everyone who comes, that nothing more will be heard."""
        with self._lock:
            self._gone = gone
            listeners = list(self._listeners.values())
            self._listeners.clear()
        for listener in listeners:
            listener(gone)


class EngineThread:
    """Takes requests from any thread; close it, or the process keeps its memory and its thread."""

    def __init__(self, settings: Settings, path: Path, told: Told) -> None:
        self._inbox = Mailbox()
        self.switchboard = Switchboard()
        self._built: Built = build_engine(
            settings, path, self._inbox, self.switchboard, self._inbox.wake, told
        )
        self._ids = count()  # next() on it is atomic
        self._thread = Thread(target=self._run, name="headway-engine", daemon=True)
        self._thread.start()

    @property
    def facts(self) -> Facts:
        return self._built.facts

    def submit(
        self, prompt: "array[int]", sampling: Sampling, service_class: str, listener: Listener
    ) -> Request:
        """Hand a request in; its events come to `listener`. Raises EngineGone."""
        request = Request(next(self._ids), prompt, sampling, time.monotonic(), service_class=service_class)
        self.switchboard.connect(request.id, listener)
        self._inbox.put(request)
        return request

    def submit_together(
        self, prompts: Sequence["array[int]"], sampling: Sampling, listener: Listener
    ) -> None:
        """Hand several in as `batch`, so that the engine's next plan sees all of them. Raises EngineGone."""
        now_s = time.monotonic()
        requests = [
            Request(next(self._ids), prompt, sampling, now_s, service_class="batch") for prompt in prompts
        ]
        for request in requests:
            self.switchboard.connect(request.id, listener)
        self._inbox.put(*requests)

    def cancel(self, cancel: Cancel) -> None:
        self._inbox.put(cancel)

    def close(self) -> None:
        """End the thread; open requests hear EngineGone."""
        self._inbox.close()
        self._thread.join()

    def _run(self) -> None:
        gone = EngineGone("the engine was closed")
        try:
            self._built.engine.run()
        except Exception as error:
            gone = EngineGone(f"the engine died: {error}")
            raise  # the thread's traceback says where
        finally:
            self.switchboard.hang_up(gone)
            self._built.executor.close()
