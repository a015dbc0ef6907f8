"""A run as plain numbers under names, as `--json` and the page have them; and what several seeds say.

Seconds, unless a name says otherwise. None: there was no such thing to measure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import sqrt
from statistics import fmean, stdev
from typing import Any

from headway.bench.report import ClassReport, latencies
from headway.sim.observe import Run

Figures = dict[str, Any]

# Student's t: of so many runs, less one, 95 in 100 intervals of mean +- t x s / sqrt(n) hold the true mean.
_t = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}
_t_beyond = 2.262


def figures(run: Run) -> Figures:
    totals, report = run.totals, run.report
    seconds = max(totals.duration_s, 1e-9)
    answered = totals.ends.get("stop", 0) + totals.ends.get("length", 0)
    return {
        "duration_s": totals.duration_s,
        "steps": totals.steps,
        "successful": answered,
        "failed": sum(totals.ends.values()) - answered,
        "ends": dict(totals.ends),
        "judged": run.overall.requests,
        "input_tokens": totals.input_tokens,
        "output_tokens": totals.output_tokens,
        "requests_per_s": answered / seconds,
        "output_tok_s": totals.output_tokens / seconds,
        "goodput": report.goodput,
        "goodput_tok_s": report.goodput_tok_s,
        "attainment": report.attainment,
        **latencies(run.overall),
        "classes": {name: _of_class(line, run, name) for name, line in report.classes.items()},
        "busy": totals.busy,
        "preemptions": totals.preemptions,
        "recomputed_tokens": totals.recomputed_tokens,
        "prefix_query_tokens": totals.prefix_query_tokens,
        "prefix_hit_tokens": totals.prefix_hit_tokens,
        "usage": {kind: asdict(usage) | _by_name(usage) for kind, usage in run.usage.items()},
        "dollars": run.dollars,
        "dollars_per_million_tokens": run.dollars_per_million_tokens,
        "dollars_per_thousand_good": run.dollars_per_thousand_good,
    }


def _by_name(usage: Any) -> Figures:
    found = usage.utilisation
    return {
        "components": usage.components._asdict(),
        "utilisation": None if found is None else found._asdict(),
    }


def _of_class(line: ClassReport, run: Run, name: str) -> Figures:
    window_s = run.report.window_s
    return {
        "requests": line.requests,
        "incomplete": line.incomplete,
        "met": line.met,
        "attainment": line.attainment,
        "goodput": line.met / window_s,
        **latencies(line),
        "spent_s": dict(run.spent_s.get(name, {})),
    }


def together(runs: Sequence[Figures]) -> dict[str, tuple[float, float, float]]:
    """Of several seeds, by dotted name: the mean, and the ends of its 95 % interval. At least two runs; what
    not every run has is left out.
    """
    flat = [dict(_leaves(run)) for run in runs]
    names = [name for name in flat[0] if all(name in other for other in flat)]
    return {name: _interval([each[name] for each in flat]) for name in names}


def _interval(values: Sequence[float]) -> tuple[float, float, float]:
    mean, count = fmean(values), len(values)
    half = _t.get(count - 1, _t_beyond) * stdev(values) / sqrt(count)
    return mean, mean - half, mean + half


def _leaves(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            found += _leaves(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found.append((prefix + name, float(value)))
    return found
