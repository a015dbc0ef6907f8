"""What `headway top` shows: figures from two looks at a server's metrics, and its promises. Asks nobody."""

import re
from collections.abc import Iterator
from math import inf
from typing import Any, NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from headway.bench.served import Metrics

ever_rising = ("headway:step_seconds_count", "headway:accepted_total", "headway:finished_total")
_labelled = re.compile(r'(\w+)="([^"]*)"')


class Seen(NamedTuple):
    """One look."""

    at_s: float
    metrics: Metrics
    slo: dict[str, Any]


def began_anew(before: Seen, now: Seen) -> bool:
    """The server did, between two looks: a counter fell."""
    return any(_sum(now.metrics, name) < _sum(before.metrics, name) for name in ever_rising)


def figures(before: Seen, now: Seen) -> dict[str, Any]:
    """Rates, means and percentiles are of the time between the two looks; None: nothing happened in it.
    Seconds, shares from 0 to 1."""
    seconds = max(now.at_s - before.at_s, 1e-9)

    def grown(name: str) -> float:
        return _sum(now.metrics, name) - _sum(before.metrics, name)

    def mean(of: str, count: str) -> float | None:
        return grown(of) / grown(count) if grown(count) else None

    steps = "headway:step_seconds"
    places = ("free", "used", "cached")
    blocks = {place: _sum(now.metrics, "headway:kv_blocks", state=place) for place in places}
    return {
        "state": next((labels["state"] for labels, _ in _of(now.metrics, "headway:engine_state")), "unknown"),
        "policy": now.slo["policy"],
        "ended_per_s": grown("headway:finished_total") / seconds,
        "goodput": grown("headway:goodput_requests_total") / seconds,
        "output_tok_s": grown("vllm:generation_tokens_total") / seconds,
        "running": int(_sum(now.metrics, "headway:running")),
        "waiting": int(_sum(now.metrics, "headway:waiting")),
        "oldest_wait_s": _sum(now.metrics, "headway:oldest_wait_seconds"),
        "refused_per_s": grown("headway:rejected_total") / seconds,
        "step_s": mean(f"{steps}_sum", f"{steps}_count"),
        "step_tokens": mean("vllm:iteration_tokens_total_sum", "vllm:iteration_tokens_total_count"),
        "budget": int(_sum(now.metrics, "headway:step_budget_tokens")),
        "busy": min(1.0, grown(f"{steps}_sum") / seconds),
        "forecast_error": now.slo["forecast_error"],
        "kv_used": blocks["used"] / max(sum(blocks.values()), 1.0),
        "kv_cached": blocks["cached"] / max(sum(blocks.values()), 1.0),
        "prefix_hits": mean("headway:prefix_hit_tokens_total", "headway:prefix_query_tokens_total"),
        "preemptions": int(grown("headway:preemptions_total")),
        "mbu": _sum(now.metrics, "headway:mbu") if "headway:mbu" in now.metrics else None,
        "mfu": _sum(now.metrics, "headway:mfu") if "headway:mfu" in now.metrics else None,
        "bound_by": next((l["limit"] for l, value in _of(now.metrics, "headway:bound_by") if value), None),
        "classes": [_class(each, before, now) for each in now.slo["classes"]],
        "paying": now.slo["paying"],
    }


def _class(of: dict[str, Any], before: Seen, now: Seen) -> dict[str, Any]:
    name = of["name"]
    return {
        "name": name,
        "targets": of["targets"],
        "recent": of["recent"],
        "since_start": of["since_start"],
        "ttft_p95_s": _p95(before.metrics, now.metrics, "headway:ttft_seconds", name),
        "itl_p95_s": _p95(before.metrics, now.metrics, "headway:itl_seconds", name),
        "infeasible": [each["target"] for each in of["infeasible"]],
    }


def _of(metrics: Metrics, name: str) -> Iterator[tuple[dict[str, str], float]]:
    for key, value in metrics.items():
        bare, _, labels = key.partition("{")
        if bare == name:
            yield dict(_labelled.findall(labels)), value


def _sum(metrics: Metrics, name: str, **wanted: str) -> float:
    return sum(value for labels, value in _of(metrics, name) if wanted.items() <= labels.items())


def _p95(before: Metrics, now: Metrics, name: str, service_class: str) -> float | None:
    """The bound of the bucket that it lies in; None: nothing came, or it lies above all bounds."""

    def counts(metrics: Metrics) -> dict[float, float]:
        found = _of(metrics, f"{name}_bucket")
        return {float(l["le"]): value for l, value in found if l.get("class") == service_class}

    earlier = counts(before)
    grown = sorted((bound, value - earlier.get(bound, 0.0)) for bound, value in counts(now).items())
    if not grown or not grown[-1][1]:
        return None
    found = next(bound for bound, value in grown if value >= 0.95 * grown[-1][1])
    return None if found == inf else found


def view(url: str, found: dict[str, Any]) -> RenderableType:
    head = Text.assemble((url, "bold"), f"  {found['state']}, policy {found['policy']}")
    paying = found["paying"]
    words = f"not all promises can be kept at this rate; {', '.join(paying)} pays" if paying else ""
    return Group(head, _machine(found), _classes(found), Text(words, "yellow"))


def _machine(found: dict[str, Any]) -> Table:
    table = Table.grid(padding=(0, 2))
    tokens = f"{_whole(found['step_tokens'])} of {found['budget']}"
    rows = [
        ("ended/s", f"{found['ended_per_s']:.2f}", "output tokens/s", f"{found['output_tok_s']:.1f}"),
        ("goodput/s", f"{found['goodput']:.2f}", "refused/s", f"{found['refused_per_s']:.2f}"),
        ("running", f"{found['running']}", "waiting", f"{found['waiting']}, {found['oldest_wait_s']:.1f} s"),
        ("step", _ms(found["step_s"]), "tokens, budget", tokens),
        ("busy", f"{found['busy']:.0%}", "forecast error", _share(found["forecast_error"])),
        ("KV used", f"{found['kv_used']:.0%}", "kept for reuse", f"{found['kv_cached']:.0%}"),
        ("prefix hits", _share(found["prefix_hits"]), "pre-emptions", f"{found['preemptions']}"),
    ]
    if found["bound_by"] is not None:
        shares = f"{found['mbu']:.0%} of bandwidth, {found['mfu']:.0%} of arithmetic"
        rows.append(("bound by", found["bound_by"], "of the machine", shares))
    for row in rows:
        table.add_row(*(Text(cell, "dim" if i % 2 == 0 else "") for i, cell in enumerate(row)))
    return table


def _classes(found: dict[str, Any]) -> Table:
    table = Table("class", "promise", "met of late", "since start", "p95 first token", "p95 gap", box=None)
    table.columns[0].no_wrap = True
    for each in found["classes"]:
        targets = each["targets"].items()
        promise = ", ".join(f"{name[:-3]} {ms:g} ms" for name, ms in targets if ms is not None) or "none"
        impossible = f"; {', '.join(each['infeasible'])} impossible here" if each["infeasible"] else ""
        shares = [_kept(each[when]) for when in ("recent", "since_start")]
        latencies = [_ms(each[of]) for of in ("ttft_p95_s", "itl_p95_s")]
        table.add_row(each["name"], promise + impossible, *shares, *latencies)
    return table


def _kept(share: dict[str, Any]) -> str:
    return "-" if share["attainment"] is None else f"{share['attainment']:.1%} of {share['requests']}"


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{1e3 * seconds:,.0f} ms"


def _whole(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"
