"""What the page of a run shows: which figures first, which tables, which plots."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from headway.bench.page import Plot, page

Figures = Mapping[str, Any]

_latencies = (("TTFT", "ttft_s"), ("TPOT", "tpot_s"), ("ITL", "itl_s"), ("E2E", "e2e_s"))


def run_page(title: str, of: str, figures: Figures, timeline: Mapping[str, Sequence[float]]) -> str:
    """`timeline`: by name (at_s, step_s, tokens, sequences, waiting, kv_used) the values of all points."""
    tables = {"Latencies": latency_rows(figures), "Promises": promise_rows(figures)}
    if figures["usage"]:
        tables["Devices"] = _usage_rows(figures)
    return page(title, of, _top(figures), tables, list(_plots(figures, timeline)))


def _top(figures: Figures) -> dict[str, str]:
    million = figures["dollars_per_million_tokens"]
    thousand = figures["dollars_per_thousand_good"]
    return {
        "attainment": f"{100 * figures['attainment']:.1f} %",
        "goodput": f"{figures['goodput']:.2f} req/s",
        "output": f"{figures['output_tok_s']:,.0f} tok/s",
        "device busy": f"{100 * figures['busy']:.0f} %",
        "$ per million tokens": "-" if not million else f"{million:.2f}",
        "$ per 1,000 good requests": "-" if not thousand else f"{thousand:.2f}",
        "pre-emptions": f"{figures['preemptions']:,}",
    }


def latency_rows(figures: Figures) -> list[list[str]]:
    rows = [["class", "", "mean ms", "p50 ms", "p95 ms", "p99 ms"]]
    for name, line in figures["classes"].items():
        for words, key in _latencies:
            found = line[key] or {}
            shown = (found.get(rank) for rank in ("mean", "p50", "p95", "p99"))
            cells = ["-" if value is None else f"{1e3 * value:,.1f}" for value in shown]
            rows.append([name, words, *cells])
    return rows


def promise_rows(figures: Figures) -> list[list[str]]:
    rows = [["class", "requests", "incomplete", "met every target", "attainment", "goodput req/s"]]
    for name, line in figures["classes"].items():
        counts = [f"{line[key]:,}" for key in ("requests", "incomplete", "met")]
        rows.append([name, *counts, f"{100 * line['attainment']:.1f} %", f"{line['goodput']:.2f}"])
    return rows


def _usage_rows(figures: Figures) -> list[list[str]]:
    rows = [["steps with", "steps", "seconds", "MBU", "MFU", "bound by"]]
    for kind, usage in figures["usage"].items():
        found = usage["utilisation"]
        shown = ["-"] * 3
        if found is not None:
            shown = [f"{100 * found['mbu']:.0f} %", f"{100 * found['mfu']:.0f} %", found["bound_by"]]
        rows.append([kind, f"{usage['steps']:,}", f"{usage['seconds']:,.1f}", *shown])
    return rows


def _plots(figures: Figures, timeline: Mapping[str, Sequence[float]]) -> Iterator[Plot]:
    at_s = list(timeline["at_s"])

    def line(name: str, values: Sequence[float], **more: Any) -> dict[str, Any]:
        return {"x": at_s, "y": list(values), "name": name, "mode": "lines", **more}

    sequences = [line("running in a step", timeline["sequences"]), line("waiting", timeline["waiting"])]
    yield Plot("Sequences", "seconds", "sequences", sequences)
    yield Plot(
        "Steps",
        "seconds",
        "milliseconds",
        [
            line("step", [1e3 * s for s in timeline["step_s"]]),
            line("tokens", timeline["tokens"], yaxis="y2"),
        ],
        yaxis2={"title": {"text": "tokens"}, "overlaying": "y", "side": "right", "rangemode": "tozero"},
    )
    yield Plot("KV cache", "seconds", "% of blocks", [line("used", [100 * u for u in timeline["kv_used"]])])
    classes = figures["classes"]
    shares: Figures = next((line["spent_s"] for line in classes.values() if line["spent_s"]), {})
    spent = [
        {"type": "bar", "name": share, "x": list(classes), "y": [_part(c, share) for c in classes.values()]}
        for share in shares
    ]
    yield Plot("Where requests' time went", "class", "% of their time", spent, barmode="stack")
    if figures["usage"]:
        yield Plot("Where steps' time went", "steps with", "seconds", _components(figures), barmode="stack")


def _part(line: Figures, share: str) -> float:
    spent = line["spent_s"]
    total = sum(spent.values())
    return 100 * spent.get(share, 0.0) / total if total else 0.0


def _components(figures: Figures) -> list[dict[str, Any]]:
    usage = figures["usage"]
    names = next(iter(usage.values()))["components"]
    return [
        {
            "type": "bar",
            "name": name.replace("_", " "),
            "x": list(usage),
            "y": [kind["components"][name] for kind in usage.values()],
        }
        for name in names
    ]
