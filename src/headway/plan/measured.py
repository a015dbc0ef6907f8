"""What one run tells of a candidate: latencies, what its steps were spent on, what kept it from more."""

from collections.abc import Mapping
from typing import NamedTuple

from headway.core.slo import ServiceClass
from headway.plan.question import Candidate
from headway.plan.trials import Seen
from headway.sim.cost import Components
from headway.sim.meter import Usage

full = 0.97  # of a limit: it is reached


class Point(NamedTuple):
    """One rate of one replica."""

    rate: float  # requests per second
    good: float  # the share of requests that met every target of their class
    ttft_p95_s: float
    itl_p95_s: float


class Spent(NamedTuple):
    """Shares of the time of all steps; the rest is arithmetic and memory."""

    communication: float
    bubbles: float
    host: float


def point(seen: Seen, rate: float, classes: Mapping[str, ServiceClass]) -> Point:
    """TTFT and ITL of the class whose first token is promised soonest; of the first, where none is."""
    lines = seen.report.classes
    promised = [(ttft_s, name) for name in lines if (ttft_s := classes[name].targets.ttft_s) is not None]
    line = lines[min(promised)[1] if promised else next(iter(lines))]
    good = sum(line.met for line in lines.values()) / sum(line.requests for line in lines.values())
    return Point(rate, good, line.ttft.p95 if line.ttft else 0.0, line.itl.p95 if line.itl else 0.0)


def spent(seen: Seen) -> Spent:
    usages = seen.usage.values()
    seconds = Components(*map(sum, zip(*(usage.components for usage in usages), strict=True)))
    total_s = sum(seconds)
    return Spent(seconds.communication / total_s, seconds.bubbles / total_s, seconds.host / total_s)


def binds(seen: Seen, candidate: Candidate) -> str:
    """What there was too little of: room for sequences, or what most of the steps' time went into."""
    if seen.preemptions or max(point.kv_used for point in seen.timeline) >= full:
        return "KV memory"
    if max(point.sequences for point in seen.timeline) >= full * candidate.limits.max_seqs:
        return "sequences"
    shares = spent(seen)._asdict()
    work = dict.fromkeys(("bandwidth", "compute"), 0.0)
    total_s = sum(usage.seconds for usage in seen.usage.values())
    for usage in seen.usage.values():
        if usage.utilisation is not None:
            resource = "bandwidth" if usage.utilisation.bound_by == "memory" else "compute"
            work[resource] += _work_s(usage) / total_s
    return max((shares | work).items(), key=lambda each: each[1])[0]


def _work_s(usage: Usage) -> float:
    of = usage.components
    return sum(of) - of.communication - of.bubbles - of.host
