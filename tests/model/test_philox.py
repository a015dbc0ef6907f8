"""The generator behind every draw: the published words, and numbers that depend on their key alone."""

import numpy as np
import pytest

from headway.model.philox import philox, uniforms


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_philox_gives_the_words_that_its_authors_published(counter: str, key: str, words: str) -> None:
    given_words = [[np.array([int(w, 16)], dtype=np.uint64) for w in part.split()] for part in (counter, key)]
    assert " ".join(f"{int(word[0]):08x}" for word in philox(*given_words)) == words


def test_a_uniform_number_depends_on_seed_choice_and_position_and_not_on_who_else_is_drawn() -> None:
    keys = [
        (seed, choice, position) for seed in (0, 1, 2**40, -1) for choice in (0, 3) for position in (0, 9)
    ]
    together = uniforms(*zip(*keys, strict=True)).tolist()
    assert len(set(together)) == len(keys)
    assert [float(uniforms([s], [c], [p])[0]) for s, c, p in keys] == together


def test_uniform_numbers_fill_the_unit_interval_evenly() -> None:
    drawn = uniforms([7] * 20_000, [0] * 20_000, range(20_000))
    assert drawn.min() >= 0
    assert drawn.max() < 1
    counts = np.histogram(drawn, bins=20, range=(0, 1))[0]
    assert ((counts - 1000) ** 2 / 1000).sum() < 43.8  # chi-square, 19 degrees of freedom, p = 0.001
