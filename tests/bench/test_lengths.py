"""Named lengths against what they were fitted to, and the words that say lengths."""

from array import array
from itertools import pairwise
from random import Random
from statistics import median, pstdev, quantiles

import numpy as np
import pytest

from headway.bench.fields import BadWorkload
from headway.bench.lengths import LENGTHS, Pairs, read_lengths
from headway.bench.traces import read_pairs, read_trace
from tests.bench.data import data_file

names = tuple(LENGTHS)


def drawn(name: str, count: int = 40_000) -> list[tuple[int, int]]:
    even = Random(7).random
    return [read_lengths(name).draw(even) for _ in range(count)]


@pytest.mark.parametrize("name", names)
def test_knots_rise_and_no_answer_is_longer_than_what_was_asked_for(name: str) -> None:
    lengths = LENGTHS[name]
    for curve in (lengths.prompt, lengths.output):
        assert curve.knots[0][0] == 0
        assert curve.knots[-1][0] == 1
        assert all(a[0] < b[0] and a[1] <= b[1] for a, b in pairwise(curve.knots))
    assert lengths.output.knots[-1][1] <= lengths.max_tokens


def test_arxiv_has_the_published_figures() -> None:
    prompts, outputs = zip(*drawn("arxiv"), strict=True)
    assert median(prompts) == pytest.approx(7059, rel=0.02)
    assert quantiles(prompts, n=10)[8] == pytest.approx(12_985, rel=0.02)
    assert pstdev(prompts) == pytest.approx(3638, rel=0.02)
    assert median(outputs) == pytest.approx(208, rel=0.02)
    assert quantiles(outputs, n=10)[8] == pytest.approx(371, rel=0.02)
    assert max(p + o for p, o in drawn("arxiv")) <= 16_384


@pytest.mark.parametrize(
    ("name", "file"), [("azure-conv", "azure_2023_conv.csv"), ("azure-code", "azure_2023_code.csv")]
)
def test_azure_s_fits_have_the_percentiles_and_means_of_the_files(name: str, file: str) -> None:
    seen = read_trace(data_file(file)).requests
    lengths = LENGTHS[name]
    for curve, values in (
        (lengths.prompt, [a.prompt_tokens for a in seen]),
        (lengths.output, [a.output_tokens for a in seen]),
    ):
        for percent in (5, 25, 50, 75, 90, 95, 99):
            at = float(np.percentile(values, percent))
            assert curve.at(percent / 100) == pytest.approx(at, rel=0.03, abs=1), f"p{percent}"
        mean = np.mean([curve.at((i + 0.5) / 10_000) for i in range(10_000)])
        assert mean == pytest.approx(np.mean(values), rel=0.03)


def test_pairs_of_a_file_are_drawn_together_each_as_often_as_the_next() -> None:
    pairs = read_pairs(data_file("sharegpt_8k_lengths.csv"))
    assert len(pairs.prompts) == 30_731
    assert pairs.max_tokens == 1024
    even = Random(1).random
    sizes = [pairs.draw(even) for _ in range(20_000)]
    assert median(p for p, _ in sizes) == pytest.approx(1730, rel=0.05)
    assert median(o for _, o in sizes) == pytest.approx(415, rel=0.05)
    assert set(sizes) <= set(zip(pairs.prompts, pairs.outputs, strict=True))


def test_pairs_draw_the_first_and_the_last() -> None:
    pairs = Pairs(array("i", [1, 2, 3]), array("i", [10, 20, 30]), 30)
    assert [pairs.draw(lambda share=share: share) for share in (0.0, 0.5, 0.999)] == [
        (1, 10),
        (2, 20),
        (3, 30),
    ]


@pytest.mark.parametrize(
    ("text", "prompt", "output"),
    [("512:64", (512, 512), (64, 64)), ("300-500:20", (300, 500), (20, 20)), ("1:1-2", (1, 1), (1, 2))],
)
def test_fixed_lengths_and_ranges(text: str, prompt: tuple[int, int], output: tuple[int, int]) -> None:
    sizes = drawn(text, 5000)
    assert (min(p for p, _ in sizes), max(p for p, _ in sizes)) == prompt
    assert (min(o for _, o in sizes), max(o for _, o in sizes)) == output
    assert read_lengths(text).max_tokens == output[1]


@pytest.mark.parametrize(
    "text", ["", "sharegtp", "512", "0:64", "64:0", "9-5:1", "1:99999999", "-5:3", "1.5:3"]
)
def test_lengths_that_are_none_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(BadWorkload) as refused:
        read_lengths(text)
    assert "\n" not in str(refused.value)
    assert repr(text) in str(refused.value)
