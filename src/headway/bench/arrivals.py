"""When requests come: gaps of several kinds, in units of the mean gap, and time that runs uneven.

The same seed draws the same gaps at every rate. Only `Random.random` and `gammavariate` are drawn from.
"""

from bisect import bisect_right
from collections.abc import Callable
from math import cos, log, pi, sqrt
from random import Random
from typing import NamedTuple

from headway.bench.fields import BadWorkload, number, shown

Gaps = Callable[[Random], float]  # one gap, in units of the mean gap
Bend = Callable[[float], float]  # when something comes, of when it would at an even rate; in seconds


class Pattern(NamedTuple):
    gaps: Gaps
    bend: Bend


def poisson(random: Random) -> float:
    return -log(1.0 - random.random())


def constant(random: Random) -> float:
    return 1.0


def at_once(random: Random) -> float:
    """A closed workload: all requests are there when it begins."""
    return 0.0


def phases(cv: float) -> Gaps:
    """Bursts and pauses: gaps of two exponential distributions that share the time evenly (H2 with balanced
    means, the usual fit to a coefficient of variation above 1; Whitt 1982).

    With cv 4: bursts of 33 requests on average at nearly twice the mean rate, then a pause of 16 mean gaps.
    """
    short = 0.5 * (1 + sqrt((cv**2 - 1) / (cv**2 + 1)))

    def gap(random: Random) -> float:
        share = short if random.random() < short else 1 - short
        return poisson(random) / (2 * share)

    return gap


def gamma(cv: float) -> Gaps:
    """Gamma distributed gaps. With cv 4 half of them are below a 6,000th of the mean: requests come a
    handful at the same moment, however low the rate. Below 1 they come more evenly than by chance.
    """
    return lambda random: float(random.gammavariate(1 / cv**2, cv**2))


def evenly_spread(at_s: float) -> float:
    return at_s


def diurnal(period_s: float, depth: float) -> Bend:
    """A rate that swings as a sine between 1 - `depth` and 1 + `depth` of its mean, rising at first.

    Of the requests due by a moment there is a table over one period, straight between 1,024 points.
    """
    points = 1024
    times_s = [period_s * i / points for i in range(points + 1)]
    swing_s = depth * period_s / (2 * pi)
    due_s = [at_s + swing_s * (1 - cos(2 * pi * at_s / period_s)) for at_s in times_s]
    due_s[-1] = period_s

    def bend(even_s: float) -> float:
        periods, rest_s = divmod(even_s, period_s)
        i = min(bisect_right(due_s, rest_s), points)
        step_s = due_s[i] - due_s[i - 1]
        part = (rest_s - due_s[i - 1]) / step_s if step_s else 0.0
        return periods * period_s + times_s[i - 1] + part * (times_s[i] - times_s[i - 1])

    return bend


forms = "poisson, constant, closed, gamma:CV, bursts:CV, diurnal:SECONDS or diurnal:SECONDS:DEPTH"


def read_arrivals(text: str) -> Pattern:
    """One of `forms`. Raises BadWorkload."""
    name, *given = text.split(":")
    where = f"arrivals {shown(text)}"
    match name, given:
        case "poisson", []:
            return Pattern(poisson, evenly_spread)
        case "constant", []:
            return Pattern(constant, evenly_spread)
        case "closed", []:
            return Pattern(at_once, evenly_spread)
        case "gamma", [cv]:
            return Pattern(gamma(number(cv, where, 0.05, 20.0)), evenly_spread)
        case "bursts", [cv]:
            return Pattern(phases(number(cv, where, 1.0, 20.0)), evenly_spread)
        case "diurnal", [period, *depth] if len(depth) <= 1:
            period_s, share = number(period, where, 1.0, 1e7), number((*depth, 0.5)[0], where, 0.0, 1.0)
            return Pattern(poisson, diurnal(period_s, share))
    raise BadWorkload(f"{where}: not one of {forms}")
