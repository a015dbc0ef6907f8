"""A plan as a page to show: the promise, what to take, cost against wait, and why not the others."""

from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from headway.bench.page import Plot, begun, ended, plot_of, table_of
from headway.plan import words
from headway.plan.figures import columns, row
from headway.plan.plan import Choice, Plan
from headway.plan.question import Question

_style = """
body { max-width: 80rem; } ul { padding-left: 1.2rem; } p.take { font-size: 1.15rem; background: var(--mark);
  border-left: 4px solid #2563a8; padding: .8rem 1rem; border-radius: .3rem; }
td, th { text-align: left; vertical-align: top; font-size: .9rem; white-space: normal; }
.plot { height: 30rem; } table { font-variant-numeric: tabular-nums; }
"""


def plan_page(title: str, of: str, plan: Plan, question: Question) -> str:
    return "".join(_parts(title, of, plan, question))


def _parts(title: str, of: str, plan: Plan, question: Question) -> Iterator[str]:
    yield from begun(title, of)
    yield f"<style>{_style}</style><h2>The promise</h2><ul>"
    yield from (f"<li>{escape(line)}</li>" for line in words.promises(plan, question))
    yield f'</ul><p class="take">{escape(words.recommendation(plan, question))}.</p>\n'
    if plan.choices:
        yield from plot_of(_trade(plan.choices), 0)
        yield (
            "<p>The devices in contention at 40, 70 and 100 % of their capacity, others at 100 %: the "
            "emptier one is kept, the sooner first tokens come and the more each token costs. On the dotted "
            "line lies what nothing beats in both.</p>"
        )
        yield from table_of("What each device does at its best", [columns, *map(row, plan.choices)])
        yield f"<p>{escape(words.interval_words(plan, question))}.</p>"
        tp_or_pp = [(choice.device, words.against(choice)) for choice in plan.choices if choice.layouts]
        yield from table_of("Tensor or pipeline parallelism", [("device", "at one rate"), *tp_or_pp])
    yield from table_of("Why not the others", [("device", "layout", "why"), *plan.refused])
    yield ended


def _trade(choices: Sequence[Choice]) -> Plot:
    """Cost of tokens against the wait for the first."""
    traces = [_line(_points(choice), name=choice.device, text=_named(choice)) for choice in choices]
    best = frontier([point for choice in choices for point in _points(choice)])
    line = _line(best, name="", line={"dash": "dot", "color": "#5a6675"}, marker={"size": 1})
    return Plot(
        "What a shorter wait costs",
        "p95 of the first token, ms",
        "dollars per million output tokens",
        [*traces, line],
        yaxis={
            "title": {"text": "dollars per million output tokens"},
            "type": "log",
            "tickvals": [digit * 10.0**power for power in range(-3, 4) for digit in (1, 2, 5)],
        },
        showlegend=False,
    )


def _named(choice: Choice) -> list[str]:
    """Beside the last of its points stands a device's name."""
    return [""] * (len(choice.look.points) - 1) + [choice.device]


def _points(choice: Choice) -> list[tuple[float, float]]:
    """At each load of the first seed: p95 TTFT in ms, and dollars per million tokens of so much load."""
    return [(1e3 * p.ttft_p95_s, choice.per_million_at(p.rate)) for p in choice.look.points]


def frontier(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Those that no other is below in both; from left to right."""
    best: list[tuple[float, float]] = []
    for point in sorted(points):
        if not best or point[1] < best[-1][1]:
            best.append(point)
    return best


def _line(points: Sequence[tuple[float, float]], **more: Any) -> dict[str, Any]:
    x, y = zip(*points, strict=True)
    return {"x": x, "y": y, "mode": "lines+markers+text", "textposition": "middle right", **more}
