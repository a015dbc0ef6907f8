"""What the page of a capacity search shows: the answer, and each class's attainment, trial by trial."""

from collections.abc import Mapping
from math import inf

from headway.bench.largest_rate import Found, allowed
from headway.bench.page import Plot, Trace, page
from headway.core.slo import ServiceClass


def capacity_page(title: str, of: str, classes: Mapping[str, ServiceClass], found: Found) -> str:
    low = f"{found.low:.3g}" if found.low else "open"
    high = "open" if found.high == inf else f"{found.high:.3g}"
    top = {
        "capacity": "not found" if found.rate is None else f"{found.rate:.3g} requests/s",
        "95 % interval": f"{low} to {high}",
        "binds": "-" if found.binds is None else f"{found.binds[0]}, {found.binds[1]}",
        "trials": f"{len(found.trials):,}",
    }
    seen = [name for name in classes if any(trial.requests.get(name) for trial in found.trials)]
    rows = [["requests/s", *(f"{name} missed" for name in seen)]]
    for trial in sorted(found.trials, key=lambda t: t.rate):
        shares = [f"{trial.misses(n)} of {trial.requests.get(n, 0)}" for n in seen]
        rows.append([f"{trial.rate:.3g}", *shares])
    dots: list[Trace] = [
        {
            "name": name,
            "mode": "markers",
            "x": [t.rate for t in found.trials if t.requests.get(name)],
            "y": [
                100 * (1 - t.misses(name) / t.requests[name]) for t in found.trials if t.requests.get(name)
            ],
        }
        for name in seen
    ]
    levels = sorted({100 * (1 - allowed(classes[name])) for name in seen})
    dashed = {"line": {"dash": "dot", "color": "#6b7280"}}
    shapes: list[dict[str, object]] = [
        {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y, **dashed} for y in levels
    ]
    if found.rate:
        ends = {"x0": found.low or found.rate, "x1": found.rate if found.high == inf else found.high}
        band = {"type": "rect", "yref": "paper", "y0": 0, "y1": 1, "opacity": 0.15, "line": {"width": 0}}
        shapes.append({**band, **ends, "fillcolor": "#2563eb"})
    plot = Plot("Attainment by rate; the band is the interval", "requests/s", "%", dots, shapes=shapes)
    return page(title, of, top, {"Trials": rows}, [plot])
