"""What the page of a sweep shows: what it says, a table, throughput and latency by load and against each
other."""

from collections.abc import Iterator, Sequence

from headway.bench.page import Plot, Trace, page
from headway.bench.sweep import Swept, table


def sweep_page(title: str, of: str, swept: Swept, unit: str, said: Sequence[str]) -> str:
    points = swept.points
    best = max(points, key=lambda p: p.output_tok_s)
    knees = {f"knee, {name.replace('_', ' ')}": k for name, k in swept.knees.items()}
    top = {"best throughput": f"{best.output_tok_s:,.0f} tok/s at {best.load:g}"}
    top |= {name: "none" if k.load is None else f"{k.load:g} {unit}" for name, k in knees.items()}
    tables = {"Loads": table(swept, unit), "What it says": [["", ""], *([line, ""] for line in said)]}
    return page(title, of, top, tables, list(_plots(swept, unit)))


def _plots(swept: Swept, unit: str) -> Iterator[Plot]:
    points, loads = swept.points, [f"{point.load:g}" for point in swept.points]

    def line(name: str, xs: Sequence[object], ys: Sequence[float], **more: object) -> Trace:
        return {"name": name, "mode": "lines+markers", "x": list(xs), "y": list(ys), **more}

    rates, waits_ms = [p.output_tok_s for p in points], [1e3 * p.ttft_p95_s for p in points]
    second = {"title": {"text": "p95 TTFT, ms"}, "overlaying": "y", "side": "right", "rangemode": "tozero"}
    yield Plot(
        "Throughput and first tokens", unit, "output tok/s",
        [line("output tok/s", loads, rates), line("p95 TTFT", loads, waits_ms, yaxis="y2")],
        yaxis2=second, margin={"l": 60, "r": 70, "t": 20, "b": 45},
        xaxis={"type": "category", "title": {"text": unit}},
    )  # fmt: skip
    target_ms, half = 1e3 * swept.target_s, max(rates) / 2
    curve = line("loads", rates, waits_ms, text=loads, textposition="top left") | {
        "mode": "lines+markers+text"
    }
    marks = [
        {"name": f"knee, {name.replace('_', ' ')}", "mode": "markers", "x": [p.output_tok_s],
         "y": [1e3 * p.ttft_p95_s], "marker": {"size": 14, "symbol": "star"}}
        for name, found in swept.knees.items() for p in points if p.load == found.load
    ]  # fmt: skip
    dashed = {"line": {"dash": "dot", "color": "#6b7280"}}
    shapes = [
        {"type": "line", "x0": half, "x1": half, "yref": "paper", "y0": 0, "y1": 1, **dashed},
        {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": target_ms, "y1": target_ms, **dashed},
    ]
    yield Plot(
        "First tokens against throughput: quadrants at the target and at half of the best",
        "output tok/s", "p95 TTFT, ms", [curve, *marks], shapes=shapes,
    )  # fmt: skip
    runs = [own[0] for own in swept.runs.values()]
    gaps = [
        line(
            f"{rank} between tokens",
            loads,
            [1e3 * run["itl_s"][rank] if run["itl_s"] else 0.0 for run in runs],
        )
        for rank in ("p50", "p95")
    ]
    yield Plot("Between tokens", unit, "ms", gaps, xaxis={"type": "category", "title": {"text": unit}})
