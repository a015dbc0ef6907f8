"""What the host does between two steps of an engine: commit, publish, plan. Its frames tell."""

from array import array
from collections.abc import Callable, Sequence
from itertools import pairwise
from random import Random
from statistics import median

from headway.core.types import Stepped

Serve = Callable[[Sequence["array[int]"], int], Sequence[Stepped]]
"""Runs prompts together until each has so many tokens; a frame for each step."""

batch_sizes = (1, 8, 32)
prompt_tokens, output_tokens = 16, 20
least_gap_s = 1e-7  # what a clock can tell apart


def host_gaps(serve: Serve, vocab: int, most: int, seed: int = 0) -> list[tuple[int, float]]:
    """(sequences, median seconds between two steps that both had them all) of decodes, by size of batch."""
    random = Random(seed)
    found = []
    for size in (size for size in batch_sizes if size <= most):
        prompts = [array("i", random.choices(range(vocab), k=prompt_tokens)) for _ in range(size)]
        frames = serve(prompts, output_tokens)
        steady = [(a, b) for a, b in pairwise(frames) if a.sequences == b.sequences == size == b.tokens]
        gaps_s = [max(least_gap_s, b.at_s - a.at_s - b.step_s) for a, b in steady]
        found.append((size, median(gaps_s)))
    return found
