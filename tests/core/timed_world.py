"""A scheduler on a machine whose speed is known, for tests of policies that heed time."""

from array import array
from dataclasses import replace

from headway.core.forecast import Load, Profile
from headway.core.limits import Limits
from headway.core.memory import paged
from headway.core.policies import Adaptive
from headway.core.scheduler import Scheduler
from headway.core.slo import BATCH, CHAT, INTERACTIVE, NO_TARGETS, ServiceClass, Targets
from headway.core.types import (
    Batch,
    Outcome,
    Request,
    Result,
    Sampling,
    Token,
)

MACHINE = Profile(
    knots=(16,), base_s=0.02, token_s=(0.001, 0.001), sequence_s=1e-6, context_s=1e-9, pair_s=1e-9
)
LIMITS = Limits(max_seqs=8, max_step_tokens=512, max_queued=50, block_size=16, blocks=400, max_model_len=4096)
SLOW_CHAT = replace(CHAT, ttft_p95_s=1.0)


class World:
    """A scheduler whose steps take 20 ms and 1 ms a token."""

    def __init__(self, *classes: ServiceClass, policy=None, **limits) -> None:
        named = {c.name: c for c in classes or (SLOW_CHAT, INTERACTIVE, BATCH)}
        self.scheduler = Scheduler(
            replace(LIMITS, **limits), policy or Adaptive(), paged, classes=named, profile=MACHINE
        )
        self.now = 0.0
        self.delay_s = 0.0  # from a plan to its step
        self.events: list = []
        for tokens in (1, 4, 64, 100) * 8:  # it has seen this machine before
            load = Load(tokens, 1, 0, tokens > 1)
            self.scheduler.learned.forecast.observe(load, self.seconds(tokens))
        self._ids = 0

    @staticmethod
    def seconds(tokens: int) -> float:
        return 0.02 + 0.001 * tokens

    def retune(self, *classes: ServiceClass, policy: str | None = None) -> None:
        self.scheduler.retune({c.name: c for c in classes}, policy)

    def ask(self, name: str, prompt: int, max_tokens: int = 100, own: Targets = NO_TARGETS) -> int:
        """The request's id."""
        self._ids += 1
        sampling = Sampling(max_tokens=max_tokens, seed=0)
        tokens = array("i", [self._ids] * prompt)
        request = Request(self._ids, tokens, sampling, self.now, service_class=name, own=own)
        self.events += self.scheduler.add(request, self.now)
        return self._ids

    def step(self) -> Batch | None:
        batch, _, ended = self.scheduler.plan(self.now)
        self.events += ended
        if batch is None:
            return None
        start_s = self.now + self.delay_s
        self.now = start_s + self.seconds(sum(s.count for s in batch.slices))
        outcomes = [Outcome(s.id, (5,) if s.samples else ()) for s in batch.slices]
        self.events += self.scheduler.commit(Result(batch.id, outcomes, start_s, self.now))
        return batch

    def of(self, kind) -> list:
        return [event for event in self.events if isinstance(event, kind)]


def tokens_of(batch: Batch) -> dict[int, int]:
    """By sequence id, which here is the request's less 1."""
    return {s.id + 1: s.count for s in batch.slices}


def stamps(world: World, id: int) -> list[float]:
    """When its tokens came."""
    return [event.at_s for event in world.of(Token) if event.request_id == id]
