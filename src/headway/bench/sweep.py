"""A sweep: load after load on one system, and what it says. Owns loads, points and words; what is measured
comes from the caller.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headway.bench.fields import BadWorkload, number, shown
from headway.bench.knee import KNEES, Knee, Point, knee, mean, quadrant, worth_until
from headway.bench.wire import BadTarget

Figures = Mapping[str, Any]

Measure = Callable[[float, int], Figures]
"""A load and which repeat it is: the figures of a run."""

usual_sizes = "1,4,16,32,64"
at_a_time, per_second = "at a time", "requests/s"  # units of a load
largest_size, largest_rate = 4096, 1e5
spike = 2.0  # p95 ITL over its median


@dataclass(frozen=True, slots=True)
class Loads:
    """Given one by one, or growing by `step` from 1 on until p95 TTFT crosses the target."""

    given: Sequence[float]
    step: float | None = None

    def __iter__(self) -> Iterator[float]:
        if self.step is None:
            yield from self.given
            return
        load = 1.0
        while load <= largest_size:
            yield load
            load = max(load + 1, round(load * self.step))  # whole, and another one


def read_sizes(text: str) -> Loads:
    """1,4,16 or x2 or x4. Raises BadWorkload."""
    where = f"--batch-sizes {shown(text)}"
    if text.startswith("x"):
        return Loads((), number(text[1:], where, 1.5, 16.0))
    sizes = [number(part, where, 1, largest_size) for part in text.split(",")]
    if any(size != int(size) for size in sizes):
        raise BadWorkload(f"{where}: batch sizes are whole numbers")
    return Loads(_rising(sizes, where))


def read_rates(text: str) -> Loads:
    """Requests per second, such as 0.5,1,2. Raises BadWorkload."""
    where = f"--rates {shown(text)}"
    return Loads(_rising([number(part, where, 1e-3, largest_rate) for part in text.split(",")], where))


def _rising(loads: Sequence[float], where: str) -> Sequence[float]:
    if sorted(set(loads)) != list(loads):
        raise BadWorkload(f"{where}: each once, the smallest first")
    return loads


@dataclass(frozen=True, slots=True)
class Swept:
    """Every load with the figures of its repeats."""

    runs: Mapping[float, Sequence[Figures]]
    target_s: float  # p95 TTFT
    ended: str = ""  # why it did before its last load

    @property
    def points(self) -> list[Point]:
        return [mean([_point(load, run) for run in runs]) for load, runs in self.runs.items()]

    @property
    def knees(self) -> dict[str, Knee]:
        repeats = {load: [_point(load, run) for run in runs] for load, runs in self.runs.items()}
        return {name: knee(pick, repeats) for name, pick in KNEES.items()}

    def quadrants(self) -> list[str]:
        best = max(point.output_tok_s for point in self.points)
        return [quadrant(point, self.target_s, best) for point in self.points]


def sweep(loads: Loads, repeats: int, measure: Measure, target_s: float) -> Swept:
    """Repeats of a load follow each other; a load that crosses the target is the last of a growing sweep. One
    at which nobody is answered ends any; what came before it is kept. Raises BadWorkload or BadTarget if
    nothing did.
    """
    runs: dict[float, list[Figures]] = {}
    for load in loads:
        try:
            own = [measure(load, repeat) for repeat in range(repeats)]
            crossed = mean([_point(load, run) for run in own]).ttft_p95_s > target_s
        except (BadWorkload, BadTarget) as error:
            if not runs:
                raise
            return Swept(runs, target_s, str(error))
        runs[load] = own
        if loads.step is not None and crossed:
            break
    return Swept(runs, target_s)


def _point(load: float, figures: Figures) -> Point:
    if figures["ttft_s"] is None or figures["e2e_s"] is None:
        raise BadWorkload(
            f"at {load:g} nobody was answered: {figures['errors'] or 'no request was complete'}"
        )
    return Point(load, figures["output_tok_s"], figures["ttft_s"]["p95"], figures["e2e_s"]["p50"])


def first_limit(swept: Swept) -> tuple[float, str] | None:
    """The first load at which KV memory ran out or first tokens came too late, and which; None: none did."""
    for load, runs in swept.runs.items():
        if any(run.get("preemptions") for run in runs):
            return load, "memory"
        if mean([_point(load, run) for run in runs]).ttft_p95_s > swept.target_s:
            return load, "latency"
    return None


def words(swept: Swept, unit: str) -> Iterator[str]:
    """What it says, a line each. `unit`: of a load."""
    points = swept.points
    for name, found in swept.knees.items():
        if found.load is not None:
            between = (
                ""
                if found.low is None
                else f", 95 % of the repeats drawn anew {found.low:g} to {found.high:g}"
            )
            yield f"knee by {name.replace('_', ' ')}: {found.load:g} {unit}{between}"
        else:
            yield f"knee by {name.replace('_', ' ')}: none in this range"
    limit = first_limit(swept)
    if limit is not None:
        what = {
            "memory": "KV memory ran out: sequences were pre-empted",
            "latency": "p95 TTFT crossed its target",
        }
        yield f"first limit: at {limit[0]:g} {unit} {what[limit[1]]}"
    if unit == at_a_time:
        yield from _worth(points)
    for load, runs in swept.runs.items():
        gaps, preempted = runs[0]["itl_s"], runs[0].get("preemptions")
        if gaps and gaps["p95"] > spike * gaps["p50"] > 0:
            cause = "beside pre-emptions" if preempted else "without any pre-emption: others' prompts"
            times = f"{gaps['p95'] / gaps['p50']:.1f} times the median"
            yield f"at {load:g} {unit} p95 between tokens is {times}, {cause}"
    if swept.ended:
        yield f"it ended there: {swept.ended}"


def _worth(points: Sequence[Point]) -> Iterator[str]:
    until = worth_until(points)
    if until < points[-1].load:
        why = "larger batches gain less than half of what they would if a step took no longer"
        yield f"bound by compute above {until:g} at a time: {why}"
    elif len(points) > 1:
        yield f"bound by memory up to {until:g} at a time: larger batches still pay"


def table(swept: Swept, unit: str) -> list[list[str]]:
    """The first row names the columns. Latencies are of a load's first repeat, but p95 TTFT, of all."""
    rows = [
        [unit, "output tok/s", "p95 TTFT ms", "p50 TPOT ms", "p95 ITL ms", "p50 E2E s", "failed", "quadrant"]
    ]
    for point, name, runs in zip(swept.points, swept.quadrants(), swept.runs.values(), strict=True):
        tpot, itl = (runs[0][key] for key in ("tpot_s", "itl_s"))
        gaps = ["-" if v is None else f"{1e3 * v[rank]:,.1f}" for v, rank in ((tpot, "p50"), (itl, "p95"))]
        failed = sum(run["failed"] for run in runs)
        rates = [f"{point.load:g}", f"{point.output_tok_s:,.1f}", f"{1e3 * point.ttft_p95_s:,.0f}"]
        rows.append([*rates, *gaps, f"{point.e2e_p50_s:,.2f}", f"{failed:,}", name])
    return rows


def as_json(swept: Swept, unit: str) -> dict[str, Any]:
    points = [
        {
            **({"rate": point.load} if unit == per_second else {"batch_size": int(point.load)}),
            "output_tok_s": point.output_tok_s,
            "ttft_p95_s": point.ttft_p95_s,
            "e2e_p50_s": point.e2e_p50_s,
            "quadrant": name,
            "repeats": list(runs),
        }
        for point, name, runs in zip(swept.points, swept.quadrants(), swept.runs.values(), strict=True)
    ]
    limit = first_limit(swept)
    return {
        "unit": unit,
        "points": points,
        "knee": {name: found._asdict() for name, found in swept.knees.items()},
        "first_limit": None if limit is None else {"load": limit[0], "by": limit[1]},
        "ended": swept.ended,
        "says": list(words(swept, unit)),
    }
