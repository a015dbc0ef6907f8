"""What the host does between two steps of an engine: commit, publish, plan. Its frames tell."""

from array import array
from collections.abc import Callable, Sequence
from itertools import pairwise
from random import Random
from statistics import median

from headway.core.types import Stepped

Serve = Callable[[Sequence["array[int]"], int], Sequence[Stepped]]
"""Runs prompts together until each has so many tokens; a frame for each step."""

batch_sizes = (1, 4, 16, 32)
prompt_tokens, output_tokens = 16, 24
least_gaps = 5  # for a median
least_gap_s = 1e-7  # what a clock can tell apart


def host_gaps(serve: Serve, vocab: int, seed: int = 0) -> list[tuple[int, float]]:
    """(sequences, median seconds between the end of a step without prompts and the start of the next)."""
    random = Random(seed)
    by_size: dict[int, list[float]] = {}
    for size in batch_sizes:
        prompts = [array("i", random.choices(range(vocab), k=prompt_tokens)) for _ in range(size)]
        for before, after in pairwise(serve(prompts, output_tokens)):
            if before.sequences == after.sequences == after.tokens:
                gap_s = max(least_gap_s, after.at_s - before.at_s - after.step_s)
                by_size.setdefault(after.sequences, []).append(gap_s)
    return [(size, median(gaps_s)) for size, gaps_s in by_size.items() if len(gaps_s) >= least_gaps]
