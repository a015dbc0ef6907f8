"""An engine process without a model: the real core and the real bridge, on an executor that follows a script.

Tokens are bytes. The answer to a prompt is the prompt again, then the end token; with a temperature it is
letters drawn from (seed, choice, position). Where a request has a bias of 100, that token is all it says. A
prompt with byte 7 fails, one with byte 8 ends the executor, one with byte 14 is a step without an end.
Log-probabilities are -0.5 for what was chosen, and falling from there.

Run as a process: `python -m tests.server.scripted_engine '{"step_s": 0.002, ...}'`.
"""

import json
import sys
import time
from array import array
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import sha256
from math import inf
from threading import Timer

from headway.classes import read_classes
from headway.cli.engine import pulse
from headway.clock import MonotonicClock
from headway.core.engine import Engine
from headway.core.limits import Limits
from headway.core.memory import MEMORY_RULES
from headway.core.policies import POLICIES
from headway.core.ports import ExecutorDied, Inbox, Sink
from headway.core.scheduler import Scheduler
from headway.core.types import Batch, Joined, Logprob, Outcome, Result, Slice
from headway.server.engine_main import Load, Loaded, run_engine
from headway.server.wire import Facts

end_token = 256
failing_byte, dying_byte, endless_byte = 7, 8, 14
vocab = 258


@dataclass(frozen=True)
class Scripted:
    """How this engine behaves."""

    step_s: float = 0.001
    load_s: float = 0.0
    refuses: str = ""  # why it cannot load
    max_model_len: int = 512
    blocks: int = 256
    max_seqs: int = 16
    max_queued: int = 64
    faults: bool = True  # whether these bytes do what they say
    classes: str = ""  # as --class has them, with ; between
    policy: str = "stall-free"

    def command(self) -> list[str]:
        return [sys.executable, "-m", "tests.server.scripted_engine", json.dumps(asdict(self))]


class CannotLoad(Exception):
    """What a loader says of a model that is not there."""


class ScriptedExecutor:
    depth = 1
    exclusive = False

    def __init__(self, step_s: float, on_done: Callable[[], None], *, faults: bool) -> None:
        self._step_s = step_s
        self._faults = faults
        self._on_done = on_done
        self._held: dict[int, Joined] = {}
        self._tokens: dict[int, array[int]] = {}
        self._results: deque[Result] = deque()
        self._dead = False

    def submit(self, batch: Batch) -> None:
        for id in batch.gone:
            del self._held[id], self._tokens[id]
        for joined in batch.joined:
            self._held[joined.id], self._tokens[joined.id] = joined, joined.tokens[:]
            self._dead |= self._faults and dying_byte in joined.tokens
        start_s = time.monotonic()
        outcomes = [self._run(slice) for slice in batch.slices]
        endless = self._faults and any(endless_byte in held.tokens for held in self._held.values())
        step_s = inf if endless else self._step_s
        self._results.append(Result(batch.id, outcomes, start_s, start_s + step_s))
        timer = Timer(self._step_s, self._on_done)
        timer.daemon = True
        timer.start()

    def collect(self) -> Result | None:
        if self._dead:
            raise ExecutorDied("a scripted end")
        if self._results and self._results[0].end_s <= time.monotonic():
            return self._results.popleft()
        return None

    def _run(self, slice: Slice) -> Outcome:
        joined, known = self._held[slice.id], self._tokens[slice.id]
        if self._faults and failing_byte in joined.tokens:
            return Outcome(slice.id, failure="a scripted failure")
        end = min(slice.start + slice.count, joined.prompt_tokens - 1)
        scored: tuple[Logprob, ...] = ()
        if joined.sampling.prompt_logprobs is not None:
            scored = tuple(_scored(known[i + 1], joined) for i in range(slice.start, end))
        if not slice.samples:
            return Outcome(slice.id, prompt_logprobs=scored)
        token = _next_token(joined, len(known))
        known.append(token)
        logprobs = () if joined.sampling.logprobs is None else (_scored(token, joined),)
        return Outcome(slice.id, (token,), logprobs, scored)


def _next_token(joined: Joined, length: int) -> int:
    sampling, position = joined.sampling, length - joined.prompt_tokens
    for token, bias in sampling.logit_bias:
        if bias == 100:
            return token
    if sampling.temperature > 0 and sampling.seed is not None:
        drawn = sha256(f"{sampling.seed} {joined.choice} {position}".encode()).digest()[0]
        return ord("a") + drawn % 26
    if position % (joined.prompt_tokens + 1) == joined.prompt_tokens:
        may_end = position >= sampling.min_tokens - 1 and end_token in sampling.stop_ids
        return end_token if may_end else ord(" ")
    return joined.tokens[position % (joined.prompt_tokens + 1)]


def _scored(token: int, joined: Joined) -> Logprob:
    count = joined.sampling.logprobs or 0
    return Logprob(token, -0.5, tuple(((token + i) % 256, -0.5 - i) for i in range(count)))


def loader(scripted: Scripted) -> Load:
    def load(
        inbox: Inbox, sink: Sink, wake: Callable[[], None], told: Callable[[str, float], None]
    ) -> Loaded:
        time.sleep(scripted.load_s)
        if scripted.refuses:
            raise CannotLoad(scripted.refuses)
        told("script read", scripted.load_s)
        limits = Limits(
            max_seqs=scripted.max_seqs,
            max_step_tokens=64,
            max_queued=scripted.max_queued,
            block_size=16,
            blocks=scripted.blocks,
            max_model_len=scripted.max_model_len,
        )
        scheduler = Scheduler(
            limits,
            POLICIES[scripted.policy](),
            MEMORY_RULES["paged"],
            classes=read_classes(scripted.classes),
        )
        executor = ScriptedExecutor(scripted.step_s, wake, faults=scripted.faults)
        engine = Engine(MonotonicClock(), inbox, executor, sink, scheduler)
        facts = Facts(vocab, scripted.max_model_len, 16, scripted.blocks, scripted.max_queued)
        return Loaded(facts, partial(pulse, engine), engine.run, lambda: None)

    return load


if __name__ == "__main__":
    sys.exit(run_engine(loader(Scripted(**json.loads(sys.argv[1]))), (CannotLoad,)))
