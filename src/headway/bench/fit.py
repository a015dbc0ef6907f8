"""From measured steps to the factors of two formulas: a cost's (`profile/cost.py`), a forecast's first guess.

Least squares in relative error with no factor below 0, by Lawson and Hanson's active sets ("Solving Least
Squares Problems", 1974, chapter 23): a term that does not help is left out rather than made negative. numpy
has no such solver, and scipy would be a dependency for this alone.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from headway.core.types import Slice
from headway.profile.cost import Factors, Work, as_factors, parts, terms, work_of
from headway.profile.file import Errors, Forecast, MeasuredStep, slices_of

Array = NDArray[np.float64]

forecast_knots = (4, 16, 64, 256)
forecast_tokens = 1024  # no engine is told to take longer steps on a machine that is calibrated
robust_rounds, least_near = 5, 0.02  # of a step's time: to be off by so much is no reason for distrust
least_share = 1e-3  # of a step's time that every term of a forecast gets: it can learn only what is there


def fit_cost(steps: Iterable[MeasuredStep]) -> Factors:
    """By all steps that are not held out."""
    fitted = [step for step in steps if not step.held_out]
    return as_factors(_fit(fitted, lambda work: terms(work)))


def fit_forecast(steps: Iterable[MeasuredStep]) -> Forecast:
    """The same for the few terms of `core.forecast`, by all steps, held out or not."""
    fitted = [step for step in steps if work_of(slices_of(step.groups)).tokens <= forecast_tokens]
    base_s, *token_s, sequence_s, context_s, pair_s = _fit(fitted, _forecast_terms, least_share)
    return Forecast(forecast_knots, base_s, tuple(token_s), sequence_s, context_s, pair_s)


def _forecast_terms(work: Work) -> list[float]:
    return [1.0, *parts(work.tokens, (0, *forecast_knots)), work.sequences, work.context, work.pairs]


def _fit(
    steps: Sequence[MeasuredStep], terms_of: Callable[[Work], list[float]], least: float = 0.0
) -> list[float]:
    """`least`: the share of the time that each term has at least, on average over the steps it occurs in."""
    rows = np.array([terms_of(work_of(slices_of(step.groups))) for step in steps])
    shares = rows / np.array([[step.seconds] for step in steps])
    size = np.array([column[column > 0].mean() if column.any() else 1.0 for column in shares.T])
    scaled = shares / size
    floor = np.full(len(size), least)
    values = floor + _robust(scaled, np.ones(len(steps)) - scaled @ floor)
    found: list[float] = (values / size).tolist()
    return found


def _robust(matrix: Array, goal: Array) -> Array:
    """Nonnegative least squares in which what lies far off pulls no more than what is near (Huber)."""
    x = nonnegative(matrix, goal)
    for _ in range(robust_rounds):
        off = np.abs(goal - matrix @ x)
        near = max(least_near, 2.0 * float(np.median(off)))
        weights = np.sqrt(np.minimum(1.0, near / np.maximum(off, near)))
        x = nonnegative(matrix * weights[:, None], goal * weights)
    return x


def nonnegative(matrix: Array, goal: Array) -> Array:
    """The x without negatives for which |matrix x - goal| is least."""
    count = matrix.shape[1]
    x, free = np.zeros(count), np.zeros(count, dtype=bool)
    tolerance = 1e-10 * max(1.0, float(np.abs(matrix.T @ goal).max()))
    for _ in range(3 * count):
        pull = matrix.T @ (goal - matrix @ x)
        pull[free] = -np.inf
        best = int(pull.argmax())
        if pull[best] <= tolerance:
            break
        free[best] = True
        x = _settled(matrix, goal, x, free)
    return x


def _settled(matrix: Array, goal: Array, x: Array, free: NDArray[np.bool_]) -> Array:
    """Least squares over the free ones. Who would fall below 0 stops there and is free no more."""
    while free.any():
        aim = np.zeros(len(x))
        aim[free] = np.linalg.lstsq(matrix[:, free], goal, rcond=None)[0]
        falling = free & (aim <= 0.0)
        if not falling.any():
            return aim
        step = float((x[falling] / (x[falling] - aim[falling])).min())
        x = x + step * (aim - x)
        free &= ~(falling & (x <= 1e-15))
        x[~free] = 0.0
    return x


def errors(steps: Sequence[MeasuredStep], cost: Callable[[Iterable[Slice]], float]) -> tuple[Errors, ...]:
    """Over the steps that were held out: of each kind, then of all."""
    kinds = dict.fromkeys(step.kind for step in steps if step.held_out)
    held_out = [step for step in steps if step.held_out]
    groups = [(kind, [step for step in held_out if step.kind == kind]) for kind in kinds]
    return tuple(_errors(kind, group, cost) for kind, group in (*groups, ("all", held_out)) if group)


def _errors(kind: str, steps: Sequence[MeasuredStep], cost: Callable[[Iterable[Slice]], float]) -> Errors:
    off = [abs(cost(slices_of(step.groups)) / step.seconds - 1.0) for step in steps]
    return Errors(kind, len(off), float(np.median(off)), float(np.quantile(off, 0.95)))


def fit_line(found: Iterable[tuple[int, float]]) -> tuple[float, float]:
    """(seconds, seconds for each), none below 0, of (so many, seconds above 0) that were measured."""
    pairs = list(found)
    matrix = np.array([[1.0, count] for count, _ in pairs])
    weights = np.array([1.0 / took_s for _, took_s in pairs])
    base_s, each_s = nonnegative(matrix * weights[:, None], np.ones(len(pairs)))
    return float(base_s), float(each_s)
