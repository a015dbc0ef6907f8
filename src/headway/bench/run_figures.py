"""A measured run as plain numbers under names, as `--json`, the summary and the page have them.

Seconds, unless a name says otherwise. None: there was no such thing to measure.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any

from headway.bench.client import Exchange
from headway.bench.load import Played
from headway.bench.report import ClassReport, latencies, overall, percentiles, report
from headway.core.slo import ServiceClass

Figures = dict[str, Any]


def figures(played: Played, classes: Mapping[str, ServiceClass]) -> Figures:
    """At least one request. Rates are over the time from the start until the last has come and has ended."""
    exchanges = played.exchanges
    answers = played.answers
    duration_s = max(max(e.asked.at_s, e.ended_s or 0.0) for e in exchanges)
    found = report(answers, classes, duration_s)
    complete = [e for e in exchanges if e.complete]
    output_tokens = sum(len(e.stamps) for e in exchanges)
    return {
        "duration_s": duration_s,
        "successful": len(complete),
        "failed": len(exchanges) - len(complete),
        "errors": dict(Counter(_error(e) for e in exchanges if not e.complete).most_common(10)),
        "input_tokens": sum(_prompt_tokens(e) for e in complete),
        "output_tokens": output_tokens,
        "requests_per_s": len(complete) / duration_s,
        "output_tok_s": output_tokens / duration_s,
        "goodput": found.goodput,
        "goodput_tok_s": found.goodput_tok_s,
        "attainment": found.attainment,
        **latencies(overall(answers)),
        "chunk_gap_s": _percentiles([b - a for e in exchanges for a, b in pairwise(e.chunks_s)]),
        "classes": {name: _of_class(line, found.window_s) for name, line in found.classes.items()},
        "requested_rate": _rate([e.asked.at_s for e in exchanges]),
        "achieved_rate": _rate([e.sent_s for e in exchanges if e.sent_s is not None]),
        "client": _client(played),
        "tokens_without_a_time": sum(e.guessed for e in exchanges),
        "tokens_told_otherwise": sum(
            e.output_tokens is not None and e.output_tokens != len(e.stamps) for e in complete
        ),
    }


def _rate(times_s: Sequence[float]) -> float | None:
    """Requests per second between the first and the last of them."""
    spread_s = max(times_s, default=0.0) - min(times_s, default=0.0)
    return (len(times_s) - 1) / spread_s if spread_s else None


def _of_class(line: ClassReport, window_s: float) -> Figures:
    counts = {name: getattr(line, name) for name in ("requests", "incomplete", "met", "attainment")}
    return {**counts, "goodput": line.met / window_s, **latencies(line)}


def _client(played: Played) -> Figures:
    """How well the client kept up with what it was meant to do."""
    late_s = [e.dispatched_s - e.asked.at_s for e in played.exchanges]
    connect_s = [e.sent_s - e.dispatched_s for e in played.exchanges if e.sent_s is not None]
    return {
        "valid": played.valid,
        "lag_p99_s": played.lag_p99_s,
        "cpu_share": played.cpu_share,
        "us_per_token": played.us_per_token,
        "dispatched_late_s": _percentiles(late_s),
        "connecting_s": _percentiles(connect_s),
    }


def _percentiles(values: Sequence[float]) -> Figures | None:
    found = percentiles(values)
    return None if found is None else asdict(found)


def _error(exchange: Exchange) -> str:
    if exchange.error:
        return f"{exchange.status or 'no answer'}: {exchange.error}"
    return "cut off at the end of the run" if exchange.status in (None, 200) else str(exchange.status)


def _prompt_tokens(exchange: Exchange) -> int:
    return len(exchange.asked.prompt) if exchange.prompt_tokens is None else exchange.prompt_tokens
