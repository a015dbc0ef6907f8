"""One engine over a tiny real model and a closed workload: all requests are there before it begins."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event as Signal
from typing import NamedTuple

import torch

from headway.clock import MonotonicClock
from headway.core.engine import Engine
from headway.core.limits import Limits
from headway.core.memory import MEMORY_RULES
from headway.core.policies import POLICIES
from headway.core.scheduler import Scheduler
from headway.core.types import Cancel, Finished, Logprob, Request, Token
from headway.executors.local import LocalExecutor
from headway.executors.runner import Runner
from headway.model.decoder import Decoder
from headway.model.kv import KVCache
from headway.model.parts import Parts, plain_parts
from headway.model.weights import load_weights
from headway.sim.run import DecisionLog, EventLog
from headway.spec import ModelSpec, read_spec
from tests.model.golden import NEAR_TIE, TIED_SHARE
from tests.models.tiny import save

LONGEST_S = 60.0  # no workload here takes longer


class ClosedInbox:
    """All letters are due at the start; closed once nothing is left to happen."""

    def __init__(self, letters: list[Request | Cancel]) -> None:
        self._letters = letters
        self._done = Signal()
        self.idle = lambda: False

    def wake(self) -> None:
        self._done.set()

    def take(self, now: float) -> list[Request | Cancel]:
        letters, self._letters = self._letters, []
        return letters

    def wait(self, until: float | None) -> bool:
        if self.idle():
            return False
        timeout_s = LONGEST_S if until is None else max(0.0, until - time.monotonic())
        assert self._done.wait(timeout_s) or until is not None, "the executor does not answer"
        self._done.clear()
        return True


@dataclass
class Answers:
    """By (request, choice): the tokens, their log-probabilities where asked for, and the end."""

    tokens: dict[tuple[int, int], list[int]]
    logprobs: dict[tuple[int, int], list[Logprob | None]]
    ends: dict[tuple[int, int], Finished]
    trace: DecisionLog
    events: list


class Loaded(NamedTuple):
    spec: ModelSpec
    decoder: Decoder


def load_tiny(name: str, folder: Path, parts: Callable[[ModelSpec], Parts] = plain_parts) -> Loaded:
    save(name, folder)
    spec = read_spec(folder)
    return Loaded(spec, Decoder(spec, load_weights(folder, spec, torch.float32), parts(spec)))


def run_real(
    model: Loaded,
    requests: list[Request],
    limits: Limits,
    *,
    policy: str = "stall-free",
    memory: str = "paged",
    depth: int = 1,
) -> Answers:
    """Serve `requests`, all of them there from the start, with the real executor."""
    kv = KVCache(model.spec, limits.blocks, limits.block_size, torch.float32)
    inbox, log = ClosedInbox(list(requests)), EventLog()
    executor = LocalExecutor(Runner(model.decoder, kv), inbox.wake, depth=depth)
    trace = DecisionLog(executor)
    scheduler = Scheduler(limits, POLICIES[policy](), MEMORY_RULES[memory], exclusive=executor.exclusive)
    engine = Engine(MonotonicClock(), inbox, trace, log, scheduler)
    inbox.idle = lambda: len(trace.batches) == len(trace.results) and not scheduler._live
    try:
        engine.run()
    finally:
        executor.close()
    return gather(log.events, trace)


def gather(events: list, trace: DecisionLog) -> Answers:
    answers = Answers({}, {}, {}, trace, events)
    for event in events:
        if isinstance(event, Token):
            key = (event.request_id, event.choice)
            answers.tokens.setdefault(key, []).append(event.token)
            answers.logprobs.setdefault(key, []).append(event.logprob)
        elif isinstance(event, Finished):
            answers.ends[event.request_id, event.choice] = event
    return answers


def assert_same_answers(expected: Answers, ours: Answers) -> None:
    """Token for token. Where they differ at a near tie, comparing that sequence stops: in few of them.

    `expected` was asked for the log-probabilities of the whole vocabulary, which say what a near tie is.
    """
    assert expected.tokens.keys() == ours.tokens.keys()
    tied = sum(_differs_at_near_tie(expected, ours, key) for key in expected.tokens)
    assert tied <= TIED_SHARE * len(expected.tokens), f"{tied} sequences differ at a near tie"


def _differs_at_near_tie(expected: Answers, ours: Answers, key: tuple[int, int]) -> bool:
    assert len(ours.tokens[key]) == len(expected.tokens[key])
    for i, (token, our_token) in enumerate(zip(expected.tokens[key], ours.tokens[key], strict=True)):
        if token != our_token:
            logprob = expected.logprobs[key][i]
            assert logprob is not None, f"{key}, token {i}: {our_token} instead of {token}"
            values = torch.tensor([value for _, value in logprob.top])
            near = values[0] - values[1] < NEAR_TIE * values.std()
            assert near, f"{key}, token {i}: {our_token} instead of {token}"
            return True
    return False
