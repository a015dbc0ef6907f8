"""A counter-based generator: every number is a function of its key and counter, nothing is stored or shared.

Philox 4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel Random Numbers: As Easy as 1, 2, 3; SC'11), over arrays.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]  # 32-bit words, each in 64 bits so that a product of two fits

ROUNDS = 10
MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
KEY_STEPS = (np.uint64(0x9E3779B9), np.uint64(0xBB67AE85))
LOW = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)


def philox(counter: Sequence[Words], key: Sequence[Words]) -> tuple[Words, Words, Words, Words]:
    """Four random words per element, of four counter words and two key words."""
    a, b, c, d = counter
    left, right = key
    for _ in range(ROUNDS):
        first, second = a * MULTIPLIERS[0], c * MULTIPLIERS[1]
        a, b, c, d = (second >> HALF) ^ b ^ left, second & LOW, (first >> HALF) ^ d ^ right, first & LOW
        left, right = (left + KEY_STEPS[0]) & LOW, (right + KEY_STEPS[1]) & LOW
    return a, b, c, d


def uniforms(seeds: Sequence[int], choices: Sequence[int], positions: Sequence[int]) -> NDArray[np.float64]:
    """One number in [0, 1) for each (seed, choice, position), with 52 random bits.

    52 and not 53, so that uniform * total < total for every double `total`, however that is rounded.
    A seed counts modulo 2**64, a choice and a position modulo 2**32.
    """
    seed = np.array([s & 0xFFFFFFFF_FFFFFFFF for s in seeds], dtype=np.uint64)
    position = np.array(positions, dtype=np.uint64) & LOW
    choice = np.array(choices, dtype=np.uint64) & LOW
    zero = np.zeros_like(seed)
    high, low, _, _ = philox((position, choice, zero, zero), (seed & LOW, seed >> HALF))
    bits = ((high << HALF) | low) >> np.uint64(12)
    return bits.astype(np.float64) * 2.0**-52
