"""What the page of a measured run shows: figures, tables, and plots of its requests."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from headway.bench.client import Exchange
from headway.bench.page import Plot, Trace, page
from headway.bench.run_page import latency_rows, promise_rows

Figures = Mapping[str, Any]

most_points, most_bars = 2000, 60  # of a line; of single requests


def measured_page(title: str, of: str, figures: Figures, exchanges: Sequence[Exchange]) -> str:
    tables = {"Latencies": latency_rows(figures), "Promises": promise_rows(figures)}
    if figures["errors"]:
        tables["What failed"] = [
            ["error", "requests"],
            *([e, f"{n:,}"] for e, n in figures["errors"].items()),
        ]
    return page(title, of, _top(figures), tables, list(_plots(exchanges)))


def _top(figures: Figures) -> dict[str, str]:
    ttft, itl = figures["ttft_s"], figures["itl_s"]
    return {
        "attainment": f"{100 * figures['attainment']:.1f} %",
        "goodput": f"{figures['goodput']:.2f} req/s",
        "output": f"{figures['output_tok_s']:,.0f} tok/s",
        "p95 first token": "-" if ttft is None else f"{1e3 * ttft['p95']:,.0f} ms",
        "p95 between tokens": "-" if itl is None else f"{1e3 * itl['p95']:,.1f} ms",
        "failed": f"{figures['failed']:,}",
        "client": "kept up" if figures["client"]["valid"] else "was late: NOT VALID",
    }


def _plots(exchanges: Sequence[Exchange]) -> Iterator[Plot]:
    classes = sorted({e.asked.service_class for e in exchanges})
    by_class = {name: [e for e in exchanges if e.asked.service_class == name] for name in classes}

    def each(values: Mapping[str, Sequence[float]]) -> list[Trace]:
        return [_cdf(name, found) for name, found in values.items() if found]

    yield Plot("First tokens, by arrival", "seconds", "ms", [_dots(n, own) for n, own in by_class.items()])
    ttft = {name: [1e3 * e.answer.ttft_s for e in own if e.stamps] for name, own in by_class.items()}
    yield Plot("First token: share of requests", "ms", "%", each(ttft))
    gaps = {n: [1e3 * g for e in own for g in e.answer.gaps_s] for n, own in by_class.items()}
    yield Plot("Between tokens: share of gaps", "ms", "%", each(gaps))
    e2e = {name: [e.answer.e2e_s for e in own if e.complete] for name, own in by_class.items()}
    yield Plot("Whole answers: share of requests", "seconds", "%", each(e2e))
    yield Plot("Open requests", "seconds", "requests", [_open(exchanges)])
    yield _waterfall(exchanges)


def _dots(name: str, exchanges: Sequence[Exchange]) -> Trace:
    shown = [e for e in exchanges if e.stamps]
    return {
        "name": name, "mode": "markers", "marker": {"size": 5},
        "x": [e.asked.at_s for e in shown], "y": [1e3 * e.answer.ttft_s for e in shown],
    }  # fmt: skip


def _cdf(name: str, values: Sequence[float]) -> Trace:
    ranked, count = sorted(values), len(values)
    ranks = range(1, count + 1, max(1, count // most_points))
    xs, ys = [ranked[rank - 1] for rank in ranks], [100 * rank / count for rank in ranks]
    return {"name": name, "mode": "lines", "x": [*xs, ranked[-1]], "y": [*ys, 100.0]}


def _open(exchanges: Sequence[Exchange]) -> Trace:
    """How many had been sent and not been answered yet, as time went on."""
    steps = [(e.dispatched_s, 1) for e in exchanges] + [(e.ended_s, -1) for e in exchanges if e.ended_s]
    xs, ys, count = [], [], 0
    for at_s, change in sorted(steps):
        count += change
        xs.append(at_s)
        ys.append(count)
    stride = max(1, len(xs) // most_points)
    return {"name": "open", "mode": "lines", "line": {"shape": "hv"}, "x": xs[::stride], "y": ys[::stride]}


def _waterfall(exchanges: Sequence[Exchange]) -> Plot:
    """Single requests, one in so many: until the first token, and from there on."""
    shown = [e for e in exchanges if e.stamps][:: max(1, len(exchanges) // most_bars)]
    numbers = list(range(len(shown)))

    def bar(name: str, starts: Sequence[float], seconds: Sequence[float]) -> Trace:
        return {
            "type": "bar", "orientation": "h", "name": name, "y": numbers, "base": list(starts),
            "x": list(seconds),
        }  # fmt: skip

    waits = bar("until the first token", [e.asked.at_s for e in shown], [e.answer.ttft_s for e in shown])
    streams = bar("tokens", [e.stamps[0] for e in shown], [e.stamps[-1] - e.stamps[0] for e in shown])
    return Plot("Single requests", "seconds", "request", [waits, streams], barmode="overlay")
