"""What this machine does at most, measured: bytes copied and operations multiplied per second.

By torch, with as many threads as a step gets: the peaks of which MBU and MFU are shares.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import torch

copied_bytes = 256 << 20  # more than caches hold
product = 2048  # rows, columns and depth of a matrix product
repeats = 5


class Peak(NamedTuple):
    copied_bytes_s: float  # read and written, both counted
    flop_s: float  # of a float32 product; a multiplication and an addition are two


def measure_peaks(threads: int) -> Peak:
    torch.set_num_threads(threads)
    source, target = (torch.ones(copied_bytes // 4) for _ in range(2))
    left, right = torch.ones(product, product), torch.ones(product, product)
    out = torch.empty(product, product)
    return Peak(
        2 * copied_bytes / _best_s(lambda: target.copy_(source)),
        2 * product**3 / _best_s(lambda: torch.mm(left, right, out=out)),
    )


def _best_s(run: Callable[[], object]) -> float:
    """The least of a few runs: a peak is what nobody disturbed."""
    took_s = []
    for _ in range(1 + repeats):
        start_s = time.perf_counter()
        run()
        took_s.append(time.perf_counter() - start_s)
    return min(took_s[1:])
