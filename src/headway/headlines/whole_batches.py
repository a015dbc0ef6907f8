"""Whole batches through the engine: all requests there at once, of the same lengths, nobody joins later."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from headway.bench.workload import Arrival
from headway.core.slo import BATCH
from headway.core.types import Batch, Event, Stepped
from headway.headlines.world import System, block_size, make_engine
from headway.rounding import ceil_div
from headway.sim.deployment import Deployment
from headway.sim.memory import DoesNotFit


class Run(NamedTuple):
    seconds: float  # from the start to the last token
    prefill_s: float  # of which in steps with prompts


class Steps:
    """A sink that adds up steps."""

    def __init__(self) -> None:
        self.seconds = self.prefill_s = 0.0

    def publish(self, now: float, events: Sequence[Event]) -> None:
        for event in events:
            if type(event) is Stepped:
                self.seconds = event.at_s
                self.prefill_s += event.step_s if event.prompt_tokens else 0.0


def run_batch(system: System, inputs: int, outputs: int, seen: Callable[[Batch], None] | None = None) -> Run:
    """As many requests as the system has places for; `seen` is told every batch. Raises DoesNotFit."""
    one = Arrival(0.0, BATCH.name, inputs, outputs, outputs)
    steps = Steps()
    engine, _ = make_engine(system, [one] * system.max_seqs, steps, seen=seen)
    engine.run()
    return Run(steps.seconds, steps.prefill_s)


def fits(system: System, tokens: int) -> bool:
    """Whether every place of the system has room for so many tokens at once."""
    try:
        return system.limits.blocks >= system.max_seqs * ceil_div(tokens, block_size)
    except DoesNotFit:
        return False


def system_of(deployment: Deployment, sequences: int, inputs: int, outputs: int) -> System:
    """One batch, its prompts one step."""
    return System(deployment, "static", sequences, sequences * inputs, inputs + outputs)
