"""The executor of one process: steps run in a thread of their own, one after another.

Owns the thread and the two queues between it and the engine. Knows no model: the runner does the work.
"""

import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread

import torch

from headway.core.ports import ExecutorDied
from headway.core.types import Batch, Result
from headway.executors.runner import Runner


class LocalExecutor:
    """Calls `on_done` on its own thread, after each step and when it dies; whoever waits may then collect.

    `threads`: how many torch uses in a step, None for its default; set on the step thread, where it holds.
    Seconds are time.monotonic's.
    """

    exclusive = False  # a step sees what the one before it sampled

    def __init__(
        self, runner: Runner, on_done: Callable[[], None], *, depth: int = 1, threads: int | None = None
    ) -> None:
        self.depth = depth
        self._runner = runner
        self._on_done = on_done
        self._threads = threads
        self._batches: SimpleQueue[Batch | None] = SimpleQueue()
        self._results: deque[Result] = deque()
        self._cause: Exception | None = None
        self._closing = False
        self._thread = Thread(target=self._live, name="headway-step", daemon=True)
        self._thread.start()

    def submit(self, batch: Batch) -> None:
        """Start a batch and return at once. Batches run in the order given; none after close or death."""
        self._batches.put(batch)

    def collect(self) -> Result | None:
        """The oldest batch's result if it is done, else None.

        Raises ExecutorDied, from what killed it, once the results from before that have been collected.
        """
        cause = self._cause  # read first: what was done before it is in the deque by now
        if self._results:
            return self._results.popleft()
        if cause is not None:
            raise ExecutorDied(f"a step failed: {cause!r}") from cause
        return None

    def close(self) -> None:
        """Finish the step that runs, drop the ones behind it, end the thread. May be called twice."""
        self._closing = True
        self._batches.put(None)
        self._thread.join()

    def _live(self) -> None:
        if self._threads is not None:
            torch.set_num_threads(self._threads)
        try:
            while (batch := self._batches.get()) is not None and not self._closing:
                start_s = time.monotonic()
                outcomes = self._runner.step(batch)
                self._results.append(Result(batch.id, outcomes, start_s, time.monotonic()))
                self._on_done()
        except Exception as cause:  # noqa: BLE001 - whatever it was, the engine is told of it by `collect`
            self._cause = cause
            self._on_done()
