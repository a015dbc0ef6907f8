"""What the cost model's tests share: batches, and whole requests in batches of one size."""

from headway.core.types import Batch, Slice
from headway.sim.executor import Cost


def batch(*slices: tuple[int, int, bool]) -> Batch:
    """Of (start, count, samples)."""
    return Batch(0, (), (), (), tuple(Slice(i, *slice) for i, slice in enumerate(slices)))


def prefill(tokens: int, sequences: int = 1) -> Batch:
    return batch(*[(0, tokens, True)] * sequences)


def decode(context: int, sequences: int = 1) -> Batch:
    """One token each, which sees `context` tokens with itself."""
    return batch(*[(context - 1, 1, True)] * sequences)


def together_s(cost: Cost, sequences: int, inputs: int, outputs: int) -> float:
    """Seconds of a batch that runs from its prompts to its last tokens."""
    later = (cost(decode(inputs + i, sequences)) for i in range(1, outputs))
    return cost(prefill(inputs, sequences)) + sum(later)
