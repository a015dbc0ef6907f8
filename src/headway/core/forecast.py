"""How long a step will take, learned on line: a slow shape times a quick measure of the machine's mood.

    seconds = speed x (base + piecewise linear in tokens + sequences + decode context + prompt pairs)

The shape is a Kalman filter on the terms' factors: recursive least squares whose weights drift. `speed` is
the median of the last few actual / shape: one step that was held up moves nothing, three slow ones do.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from operator import mul
from typing import NamedTuple


class Load(NamedTuple):
    """What a step is made of, as far as its time goes."""

    tokens: int = 0  # of all slices
    sequences: int = 0
    context: int = 0  # keys that sequences with one token read, in all
    pairs: int = 0  # (query, key) pairs of slices with several tokens

    def and_slice(self, start: int, count: int) -> "Load":
        """With a slice of tokens [start, start + count) added."""
        tokens, sequences, context, pairs = self
        if count == 1:
            return Load(tokens + 1, sequences + 1, context + start + 1, pairs)
        return Load(tokens + count, sequences + 1, context, pairs + count * start + count * (count + 1) // 2)

    def and_load(self, other: "Load") -> "Load":
        return Load(self[0] + other[0], self[1] + other[1], self[2] + other[2], self[3] + other[3])


@dataclass(frozen=True, slots=True)
class Profile:
    """A first guess, replaced within some dozens of steps: seconds of each term, `token_s[i]` up to knot i,
    the last beyond. The default is a small model on two cores."""

    knots: tuple[int, ...] = (4, 16, 64, 256)
    base_s: float = 0.03
    token_s: tuple[float, ...] = (0.002, 0.0015, 0.0012, 0.001, 0.001)
    sequence_s: float = 0.0005
    context_s: float = 1e-6
    pair_s: float = 1e-7


recent_steps = 5  # whose median is the machine's speed
kept_ratios = 128  # of which the safety factor is the 95th percentile
reviewed_every = 8  # steps between two looks at it, and at what is learned besides
first_safety, least_safety, most_safety = 1.3, 1.02, 2.0
most_doubt = 4.0  # variance of a term's factor, also at first: it may well be three times as much
drift = 2e-4  # added to that variance by each step
noise = 0.03  # variance of actual / predicted when the shape is right: steps on shared cores vary by that
largest_surprise = 0.15  # of actual / predicted - 1 that is believed of one step
trial_steps = 16  # the first ones are believed whole
least_factor = 0.02


class Forecast:
    def __init__(self, profile: Profile) -> None:
        self.knots = profile.knots
        self._spans = list(pairwise((0, *profile.knots, inf)))  # of tokens
        units = (profile.base_s, *profile.token_s, profile.sequence_s, profile.context_s, profile.pair_s)
        assert min(units) > 0
        self._units, self._weights = units, list(units)  # units x factors, so that a forecast is one sum
        self._pieces = self._as_pieces()
        self._factors = [1.0] * len(units)
        self._doubt = [[most_doubt * (i == j) for j in range(len(units))] for i in range(len(units))]
        # Of steps without and with prompts: the many that decode do not speak for the few others.
        self._speeds: tuple[deque[float], ...] = (deque(maxlen=recent_steps), deque(maxlen=recent_steps))
        self._ratios: tuple[deque[float], ...] = (deque(maxlen=kept_ratios), deque(maxlen=kept_ratios))
        self._speed, self._safety = [1.0, 1.0], [first_safety, first_safety]
        self._seen = 0
        self.median_error = 0.0  # of |actual / predicted - 1|, over the kept steps

    def seconds(self, load: Load) -> float:
        """What a step of this load takes, as likely more as less: `weights` x `terms` in few operations."""
        tokens, sequences, context, pairs = load
        at_s, low, token_s = self._pieces[bisect_left(self.knots, tokens)]
        sequence_s, context_s, pair_s = self._weights[-3:]
        shape_s = at_s + (tokens - low) * token_s + sequences * sequence_s + context * context_s
        return self._speed[pairs > 0] * (shape_s + pairs * pair_s)

    def safe_seconds(self, load: Load) -> float:
        """What it takes at most, 95 times in 100 of its kind."""
        return self._safety[load.pairs > 0] * self.seconds(load)

    def most_tokens(self, load: Load, start: int, most: int, within_s: float) -> int:
        """How many tokens from `start` on, up to `most`, a step of this load can take in and end in time.
        From two on, more take longer: all of them, or no more than one, are told without a search."""
        two_s, all_s = (self.safe_seconds(load.and_slice(start, n)) for n in (2, most))
        low, high = max(0, most) * (all_s <= within_s), most if two_s <= within_s else min(1, most)
        counts, seconds = range(1, most + 1), self.safe_seconds
        return bisect_right(counts, within_s, low, high, key=lambda n: seconds(load.and_slice(start, n)))

    def efficient_step(self, share: float) -> tuple[float, float]:
        """(seconds, seconds a token) of the shortest step whose prompt goes at `share` of the best rate."""
        steps = [(s := self.seconds(Load(n, 1, 0, n * n // 2)), s / n) for n in self.knots]
        best_s = min(token_s for _, token_s in steps)
        return min(step for step in steps if share * step[1] <= best_s)

    def observe(self, load: Load, actual_s: float) -> None:
        """Learn from a step. Less than 50 microseconds."""
        if actual_s <= 0.0:
            return
        self._seen += 1
        terms = self._terms(load)
        shape_s = sum(map(mul, self._weights, terms), 0.0)
        kind = load.pairs > 0
        ratio = actual_s / (self._speed[kind] * shape_s)
        self._ratios[kind].append(ratio)
        if self._seen % reviewed_every == 0:
            self._review()
        surprise = ratio - 1.0
        if self._seen > trial_steps:
            surprise = max(-largest_surprise, min(largest_surprise, surprise))
        self._correct([u * t / shape_s for u, t in zip(self._units, terms, strict=True)], surprise)
        speeds = self._speeds[kind]
        speeds.append(actual_s / sum(map(mul, self._weights, terms), 0.0))
        self._speed[kind] = sorted(speeds)[len(speeds) // 2]
        self._pieces = self._as_pieces()

    def _as_pieces(self) -> list[tuple[float, float, float]]:
        """Of each piece of the line in tokens: the seconds at its start, its start, seconds a token."""
        pieces, at_s = [], self._weights[0]
        for (low, high), token_s in zip(self._spans, self._weights[1:-3], strict=True):
            pieces.append((at_s, low, token_s))
            at_s += (high - low) * token_s
        return pieces

    def _terms(self, load: Load) -> list[float]:
        tokens, sequences, context, pairs = load
        in_spans = (max(0, min(tokens, high) - low) for low, high in self._spans)
        return [1.0, *in_spans, sequences, context, pairs]

    def _correct(self, shares: list[float], surprise: float) -> None:
        """One step of the filter. `shares`: the terms' parts of the forecast; `surprise`: what it missed."""
        doubt = self._doubt
        spread = [sum(map(mul, row, shares)) for row in doubt]
        gain = 1.0 / (noise + sum(map(mul, spread, shares)))
        for i, row in enumerate(doubt):
            pull = gain * spread[i]
            if pull:
                doubt[i] = [d - pull * s for d, s in zip(row, spread, strict=True)]
                self._factors[i] = max(least_factor, self._factors[i] + pull * surprise)
                self._weights[i] = self._units[i] * self._factors[i]
            doubt[i][i] = min(most_doubt, doubt[i][i] + drift)

    def _review(self) -> None:
        for kind, ratios in enumerate(map(sorted, self._ratios)):
            if len(ratios) >= reviewed_every:
                quantile = ratios[int(0.95 * (len(ratios) - 1) + 0.5)]
                self._safety[kind] = min(most_safety, max(least_safety, quantile))
        errors = sorted(abs(ratio - 1.0) for ratios in self._ratios for ratio in ratios)
        self.median_error = errors[len(errors) // 2]
