"""A run as one HTML page that needs nothing else: tables, and plots that can be zoomed.

Owns the page. plotly.js is copied into it (4.8 MB), so that it opens without a network. Whatever was named by
a user goes in escaped.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

_style = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5a6675; --line: #d9dfe7; --faint: #eef1f5;
  --page: #fff; --mark: #eef4fb; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #9aa6b5; --line: #3d4756;
  --faint: #28303b; --page: #14181f; --mark: #1c2a3c; } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 68rem; padding: 0 1rem;
  color: var(--ink); background: var(--page); }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.1rem; margin-top: 2.2rem; }
p.of { color: var(--soft); margin-top: .2rem; } .plot { height: 22rem; } .wide { overflow-x: auto; }
dl.top { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1.5rem 0; }
dl.top div { border: 1px solid var(--line); border-radius: .5rem; padding: .6rem 1rem; min-width: 8rem; }
dl.top dt { color: var(--soft); font-size: .85rem; } dl.top dd { font-size: 1.3rem; margin: 0; }
table { border-collapse: collapse; width: 100%; } td, th { padding: .3rem .6rem; text-align: right; }
th { border-bottom: 2px solid var(--line); } td:first-child, th:first-child { text-align: left; }
tr + tr td { border-top: 1px solid var(--faint); }
@media (max-width: 40rem) { body { margin: 1rem auto; } dl.top { gap: .5rem; } .plot { height: 18rem; }
  dl.top div { padding: .3rem .6rem; min-width: 6rem; } td:not(:first-child) { white-space: nowrap; } }
"""
# Plots take the page's colours, and change with them.
_script = """
const dark = matchMedia("(prefers-color-scheme: dark)");
function draw(id, plot) {
  const paint = () => {
    const style = getComputedStyle(document.documentElement), line = style.getPropertyValue("--line");
    const axes = {}; for (const name of Object.keys(plot.layout)) if (/^[xy]axis/.test(name))
      Object.assign(axes, {[name + ".gridcolor"]: line, [name + ".zerolinecolor"]: line});
    Plotly.relayout(id, {paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      "font.color": style.getPropertyValue("--ink").trim(), ...axes});
  };
  const config = {responsive: true, displaylogo: false, displayModeBar: innerWidth > 640 ? "hover" : false};
  Plotly.newPlot(id, plot.data, plot.layout, config).then(paint);
  dark.addEventListener("change", paint);
}
"""
_layout: dict[str, Any] = {
    "margin": {"l": 60, "r": 20, "t": 20, "b": 45},
    "legend": {"orientation": "h", "y": 1.12},
    "colorway": ["#2563a8", "#d9772b", "#3a8f5c", "#9b4a97", "#b5483f", "#6b7280", "#c2a12a", "#2a9d9d"],
}

Trace = dict[str, Any]


class Plot:
    def __init__(self, title: str, x: str, y: str, traces: Sequence[Trace], **layout: Any) -> None:
        self.title = title
        axes: dict[str, Any] = {
            "xaxis": {"title": {"text": x}},
            "yaxis": {"title": {"text": y}, "rangemode": "tozero"},
        }
        self.data = {"data": list(traces), "layout": _layout | axes | layout}


def page(
    title: str,
    of: str,
    top: Mapping[str, str],
    tables: Mapping[str, Sequence[Sequence[str]]],
    plots: Sequence[Plot],
) -> str:
    """`top`: the figures one looks at first. Of each table the first row names its columns."""
    return "".join(_parts(title, of, top, tables, plots))


def _parts(
    title: str,
    of: str,
    top: Mapping[str, str],
    tables: Mapping[str, Sequence[Sequence[str]]],
    plots: Sequence[Plot],
) -> Iterator[str]:
    yield from begun(title, of)
    yield '<dl class="top">'
    yield from (f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in top.items())
    yield "</dl>\n"
    for heading, rows in tables.items():
        yield from table_of(heading, rows)
    for number, plot in enumerate(plots):
        yield from plot_of(plot, number)
    yield ended


ended = "</body></html>\n"


def begun(title: str, of: str) -> Iterator[str]:
    """A page up to its title, and what it is of."""
    from plotly.offline import get_plotlyjs  # brings much that only a page needs

    yield f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
    yield f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_style}</style>'
    yield f"<script>{get_plotlyjs()}</script><script>{_script}</script></head>\n"
    yield f"<body><h1>{escape(title)}</h1>"
    yield f'<p class="of">{escape(of)}</p>'


def table_of(heading: str, rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The first row names the columns."""
    yield f'<h2>{escape(heading)}</h2><div class="wide"><table>'
    for number, row in enumerate(rows):
        tag = "th" if number == 0 else "td"
        yield f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in row)}</tr>"
    yield "</table></div>\n"


def plot_of(plot: Plot, number: int) -> Iterator[str]:
    """`number`: no other plot's of the page."""
    # A script ends at "</", wherever that stands.
    data = json.dumps(plot.data).replace("</", "<\\/")
    yield f'<h2>{escape(plot.title)}</h2><div class="plot" id="plot{number}"></div>'
    yield f'<script>draw("plot{number}", {data});</script>\n'
