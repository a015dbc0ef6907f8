"""What a real run decided under load is decided again, batch for batch and event for event, by an engine that
is given the moments, letters and results of that run: nothing else goes into a decision.
"""

import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from threading import Event as Signal
from typing import Any

import pytest

from headway.classes import read_classes
from headway.clock import MonotonicClock
from headway.core.engine import Engine
from headway.core.limits import Limits
from headway.core.memory import paged
from headway.core.policies import POLICIES
from headway.core.scheduler import Scheduler
from headway.core.types import Batch, Cancel, Event, Letter, Request, Retune, Sampling
from headway.executors.local import LocalExecutor
from headway.executors.runner import Runner
from headway.model.kv import KVCache
from tests.same_answer.roads import LONGEST_S, Loaded, load_tiny, torch

CLASSES = read_classes(
    "chat:ttft=30ms,itl=5ms;interactive:ttft=none,deadline=40ms,on-overload=refuse;hasty:max-wait=10ms"
)
LIMITS = Limits(max_seqs=6, max_step_tokens=48, max_queued=20, block_size=4, blocks=60, max_model_len=96)


def open_workload(seed: int) -> list[tuple[float, Letter]]:
    """More than is served in time: half a second of arrivals, some who leave, and a live change."""
    random, letters, at_s = Random(seed), list[tuple[float, Letter]](), 0.0
    for id in range(120):
        at_s += random.expovariate(240.0)
        prompt = array("i", (random.randrange(300) for _ in range(random.randint(1, 60))))
        sampling = Sampling(random.randint(1, 30), seed=id)
        name, choices = random.choice(list(CLASSES)), random.choice([1, 1, 1, 2])
        letters.append((at_s, Request(id, prompt, sampling, at_s, choices, name)))
        if random.random() < 0.1:
            letters.append((at_s + 0.01, Cancel(id)))
    tighter = read_classes("chat:itl=2ms", CLASSES)
    letters.append((0.25, Retune(1, tuple(tighter.values()))))
    return sorted(letters, key=lambda letter: letter[0])


class OpenInbox:
    """Letters by the clock; closed when the last is taken and nothing lives."""

    def __init__(self, letters: list[tuple[float, Letter]], is_idle: Callable[[], bool]) -> None:
        start_s = time.monotonic()
        self._letters = [(start_s + at_s, letter) for at_s, letter in letters]
        self._is_idle = is_idle
        self._done = Signal()

    def wake(self) -> None:
        self._done.set()

    def take(self, now: float) -> list[Letter]:
        due = [letter for at_s, letter in self._letters if at_s <= now]
        self._letters = self._letters[len(due) :]
        return due

    def wait(self, until: float | None) -> bool:
        if not self._letters and self._is_idle():
            return False
        times = [at_s for at_s in (until, *(at_s for at_s, _ in self._letters[:1])) if at_s is not None]
        self._done.wait(max(0.0, min(times, default=time.monotonic() + LONGEST_S) - time.monotonic()))
        self._done.clear()
        return True


@dataclass
class Tape:
    """What the engine was told, call by call."""

    said: list[tuple[str, Any]] = field(default_factory=list)

    def record(self, port: Any, *names: str) -> Any:
        """The port; what its methods of these names return is kept."""

        def kept(name: str) -> Callable[..., Any]:
            def call(*given: Any) -> Any:
                answer = getattr(port, name)(*given)
                self.said.append((name, answer))
                return answer

            return call

        return _Port({name: kept(name) for name in names}, port)

    def play(self, port: Any, *names: str) -> Any:
        """As it was, in the same order of calls."""

        def told(name: str) -> Callable[..., Any]:
            def call(*given: Any) -> Any:
                what, answer = self.said.pop(0)
                assert what == name, "the engine asks in another order"
                return answer

            return call

        return _Port({name: told(name) for name in names}, port)


class _Port:
    def __init__(self, methods: dict[str, Callable[..., Any]], port: Any) -> None:
        self.__dict__.update(methods)
        self._port = port

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)


class Log:
    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.events: list[Event] = []

    def publish(self, now: float, events: list[Event]) -> None:
        self.events += events


@dataclass
class Silent:
    """An executor that only takes batches."""

    depth: int
    exclusive: bool = False

    def submit(self, batch: Batch) -> None: ...


def engine(
    taped: Callable[..., Any], clock: Any, inbox: Any, executor: Any, scheduler: Scheduler, log: Log
) -> Engine:
    device = taped(executor, "collect")
    submit = device.submit
    device.submit = lambda batch: (log.batches.append(batch), submit(batch))
    return Engine(taped(clock, "now"), taped(inbox, "take", "wait"), device, log, scheduler)


def make_scheduler(policy: str) -> Scheduler:
    return Scheduler(LIMITS, POLICIES[policy](), paged, classes=CLASSES)


def run_real(model: Loaded, policy: str, depth: int, tape: Tape) -> Log:
    scheduler, log = make_scheduler(policy), Log()
    inbox = OpenInbox(open_workload(7), lambda: not scheduler._live and not scheduler.in_flight)
    runner = Runner(model.decoder, KVCache(model.spec, LIMITS.blocks, LIMITS.block_size, torch.float32))
    executor = LocalExecutor(runner, inbox.wake, depth=depth)
    try:
        engine(tape.record, MonotonicClock(), inbox, executor, scheduler, log).run()
    finally:
        executor.close()
    return log


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return load_tiny("llama", tmp_path_factory.mktemp("tiny"))


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("policy", POLICIES)
def test_what_a_real_run_decided_is_decided_again(model: Loaded, policy: str, depth: int) -> None:
    tape = Tape()
    real = run_real(model, policy, depth, tape)
    again = Log()
    engine(tape.play, None, None, Silent(depth), make_scheduler(policy), again).run()
    assert not tape.said
    assert again.batches == real.batches
    assert again.events == real.events
    assert len(real.batches) > 20
