"""How long prompts and answers are: distributions with names, fixed lengths and ranges, pairs of a file.

Owns the figures of the named ones; each says what it was fitted to. Draws from a function that gives even
numbers from 0 to 1, in a fixed order, so that a seed always gives the same lengths.
"""

import re
from array import array
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from headway.bench.fields import BadWorkload, shown, tokens

Even = Callable[[], float]  # from 0 to 1


class Draws(Protocol):
    """Where lengths come from."""

    @property
    def max_tokens(self) -> int:
        """What the client asks for: it does not know how long its answer will be."""

    def draw(self, even: Even) -> tuple[int, int]:
        """Tokens of a prompt and of its answer."""


@dataclass(frozen=True, slots=True)
class Quantiles:
    """A distribution by its quantile function, straight between the knots (share, tokens)."""

    knots: tuple[tuple[float, int], ...]  # the first at share 0, the last at 1

    def at(self, share: float) -> int:
        shares = [knot[0] for knot in self.knots]
        i = min(bisect_right(shares, share), len(shares) - 1)
        (left, low), (right, high) = self.knots[i - 1], self.knots[i]
        return round(low + (high - low) * (share - left) / (right - left))


def evenly(low: int, high: int) -> Quantiles:
    return Quantiles(((0.0, low), (1.0, high)))


def percentiles(*knots: tuple[float, int]) -> Quantiles:
    return Quantiles(tuple((percent / 100, tokens) for percent, tokens in knots))


@dataclass(frozen=True, slots=True)
class Lengths:
    """Of prompts and answers, drawn independently."""

    prompt: Quantiles
    output: Quantiles
    max_tokens: int
    most_together: int | None = None  # longer pairs are drawn again; None: there is no limit

    def draw(self, even: Even) -> tuple[int, int]:
        while True:
            pair = self.prompt.at(even()), self.output.at(even())
            if self.most_together is None or sum(pair) <= self.most_together:
                return pair


@dataclass(frozen=True, slots=True)
class Pairs:
    """Lengths that were seen together, each pair as likely as the next."""

    prompts: "array[int]"
    outputs: "array[int]"
    max_tokens: int

    def draw(self, even: Even) -> tuple[int, int]:
        i = int(even() * len(self.prompts))
        return self.prompts[i], self.outputs[i]


# sharegpt: the percentiles of 30,731 chat rounds (microsoft/sarathi-serve, Apache-2.0; each round with all
# before it as its prompt, at most 8,192 tokens together).
_sharegpt = Lengths(
    percentiles(
        (0, 1), (1, 12), (5, 29), (10, 74), (15, 180), (20, 382), (30, 777), (40, 1203), (50, 1730),
        (60, 2401), (70, 3235), (80, 4278), (90, 5696), (95, 6563), (99, 7433), (100, 8141),
    ),
    percentiles(
        (0, 2), (1, 6), (5, 44), (10, 84), (20, 181), (30, 271), (40, 346), (50, 415), (60, 493),
        (70, 581), (80, 683), (90, 834), (95, 920), (99, 998), (100, 1024),
    ),
    max_tokens=1024,
)  # fmt: skip

# arxiv: summaries of papers. Of the prompts are published median 7,059, P90 12,985 and standard deviation
# 3,638, of the answers median 208 and P90 371 (Sarathi-Serve, OSDI 2024), and that totals over 16,384 were
# dropped. What lies between is ours: prompts spread to fit all three, answers log-normal.
_arxiv = Lengths(
    percentiles(
        (0, 300), (1, 1050), (5, 2350), (10, 3250), (25, 4920), (50, 7059), (75, 10000), (90, 12985),
        (95, 14400), (99, 15800), (100, 16200),
    ),
    percentiles(
        (0, 40), (1, 73), (5, 99), (10, 117), (25, 153), (50, 208), (75, 282), (90, 371), (95, 437),
        (99, 595), (100, 1000),
    ),
    max_tokens=1024,
    most_together=16_384,
)  # fmt: skip

# azure-conv, azure-code: the percentiles of 19,366 conversations and 8,819 code completions of November 2023
# (Azure public dataset, CC-BY 4.0).
_azure_conv = Lengths(
    percentiles(
        (0, 2), (0.5, 16), (1, 29), (2, 91), (5, 181), (10, 207), (15, 372), (20, 387), (30, 403), (35, 414),
        (40, 703), (45, 984), (50, 1020), (60, 1071), (70, 1130), (75, 1189), (80, 1315), (85, 1877),
        (88, 2402), (90, 2735), (92, 4073), (98, 4098), (99, 4142), (99.5, 4831), (99.9, 6212), (99.98, 7120),
        (100, 14050),
    ),
    percentiles(
        (0, 7), (1, 16), (2, 24), (5, 41), (10, 54), (20, 77), (30, 91), (40, 103), (45, 113), (50, 129),
        (55, 151), (60, 177), (65, 217), (70, 384), (80, 400), (90, 424), (95, 451), (96, 468), (97, 509),
        (98, 540), (99, 601), (99.5, 644), (99.9, 954), (100, 1000),
    ),
    max_tokens=1024,
)  # fmt: skip
_azure_code = Lengths(
    percentiles(
        (0, 3), (1, 17), (2, 35), (5, 75), (10, 147), (15, 232), (20, 385), (30, 770), (40, 1075), (50, 1469),
        (60, 1909), (70, 2433), (75, 2745), (80, 3193), (85, 3923), (88, 4559), (90, 5194), (92, 5961),
        (94, 6585), (95, 7315), (96, 7431), (100, 7437),
    ),
    percentiles(
        (0, 6), (5, 6), (15, 7), (20, 8), (30, 9), (40, 11), (50, 13), (60, 16), (70, 20), (75, 24), (80, 29),
        (85, 39), (88, 48), (90, 55), (92, 65), (94, 79), (95, 90), (96, 105), (97, 128), (98, 172),
        (99, 252), (99.5, 361), (99.7, 512), (99.9, 831), (99.95, 890), (99.98, 1020), (100, 1899),
    ),
    max_tokens=2048,
)  # fmt: skip

# small-chat: sharegpt's shape at a tenth of its length, for a small model on a CPU: most prompts are short,
# and a few are long enough to fill several steps.
_small_chat = Lengths(
    percentiles((0, 16), (25, 50), (50, 100), (75, 200), (90, 400), (97, 900), (100, 1500)),
    percentiles((0, 8), (25, 20), (50, 35), (75, 55), (100, 90)),
    max_tokens=128,
)

# In all of them the ranks of the two lengths correlate by less than 0.08, so they are drawn apart.
LENGTHS: Mapping[str, Lengths] = {
    "sharegpt": _sharegpt,
    "arxiv": _arxiv,
    "azure-conv": _azure_conv,
    "azure-code": _azure_code,
    "short": Lengths(evenly(300, 500), evenly(20, 80), max_tokens=128),
    "document": Lengths(evenly(1000, 3000), evenly(200, 400), max_tokens=512),
    "small-chat": _small_chat,
    "small-task": Lengths(evenly(80, 240), evenly(8, 40), max_tokens=64),
    "small-document": Lengths(evenly(200, 500), evenly(30, 60), max_tokens=64),
}


def read_lengths(text: str) -> Lengths:
    """A name of `LENGTHS`, or PROMPT:ANSWER where each is a number or a range such as 300-500. Raises
    BadWorkload.
    """
    if text in LENGTHS:
        return LENGTHS[text]
    match = re.fullmatch(r"(\d+)(?:-(\d+))?:(\d+)(?:-(\d+))?", text)
    if match is None:
        names = ", ".join(LENGTHS)
        raise BadWorkload(f"lengths {shown(text)}: one of {names}, or PROMPT:ANSWER such as 512:64")
    low, high, shortest, longest = match.groups()
    where = f"lengths {shown(text)}"
    prompt, output = _between(low, high or low, where), _between(shortest, longest or shortest, where)
    return Lengths(prompt, output, max_tokens=output.knots[-1][1])


def _between(low: str, high: str, where: str) -> Quantiles:
    first, last = tokens(low, where, least=1), tokens(high, where, least=1)
    if first > last:
        raise BadWorkload(f"{where}: {first} is over {last}")
    return evenly(first, last)
