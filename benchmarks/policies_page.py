"""Makes docs/policies-simulated.md and its picture from the rows of policies_simulated.py.

python benchmarks/policies_page.py
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]
ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "policies-simulated.json"
BACKGROUND = ROOT / "benchmarks" / "results" / "background-simulated.json"
PAGE, PICTURE = ROOT / "docs" / "policies-simulated.md", ROOT / "docs" / "policies-simulated.svg"

style = """<style>
text { font: 13px system-ui, sans-serif; fill: #24292f } .head { font-weight: 600 } .dim { fill: #6e7781 }
.bar { fill: #9aa4af } .fixed { fill: #bf8700 } .adaptive { fill: #0969da }
@media (prefers-color-scheme: dark) { text { fill: #d0d7de } .dim { fill: #8b949e } .bar { fill: #57606a }
.fixed { fill: #d4a72c } .adaptive { fill: #58a6ff } }
</style>"""

introduction = """# Policies, simulated

Mistral-7B on one A100-80, in simulation: Headway's own scheduler under each policy, steps that take what a
roofline says (`src/headway/sim/simple_roofline.py`), workloads drawn from a seed
(`src/headway/bench/workload.py`).

- *chat*: ShareGPT's lengths; the first token in 1 s, 100 ms between tokens (p95 of the request). Poisson.
- *mixed*: by rate 60 % chat; 25 % interactive (300 to 500 tokens in, 20 to 80 out; the first in 500 ms, the
  whole answer in 2 s); 15 % batch (1,000 to 3,000 in, 200 to 400 out; no targets). Poisson.
- *bursty*: chat whose gaps have a coefficient of variation of 4: bursts of 33 requests on average at nearly
  twice the mean rate, then a pause of 16 mean gaps. *bursty-mixed*: the same for mixed.

*Capacity* is the largest rate, in requests/s, at which each class with targets meets them for 95 % of its
requests and 90 % of the batch tokens are completed, on most of the seeds. Requests of the first ten minutes
are judged, at a horizon two minutes later; load goes on until then, and what has not ended is missed.

*Goodput* is requests/s that met every target of their class (batch has none: those that ended), at 1.5 times
the capacity of the best fixed configuration, and at 1.5 times the policy's own. Beside it stand each class's
attainment, and of batch the share of the tokens that were completed. *Best fixed* is what a search over
stall-free and prefill-first, budgets from 256 to 4,096, 64 to 256 sequences, order by arrival or by level
finds. A configuration reads: tokens of a step / sequences.

![capacity of each policy](policies-simulated.svg)

"""
background = """
## A deep queue of batch beside chat

Adaptive; chat at 0.3 and 0.7 of its capacity, the same requests alone and beside batch requests that all
wait from the start and never run dry; three seeds, in brackets each by itself. *Busy*: the share of the time
in which a step ran, the least of the seeds. *Batch*: prompt and output tokens of completed batch requests, by
the second, and as a share of what the queue gets with nobody beside it. Made by
`python benchmarks/background_simulated.py`.

| chat's rate | batch queue | chat's attainment | busy | batch, tokens/s |
|---|---|--:|--:|--:|
"""
closing = """
Made by `python benchmarks/policies_simulated.py` from `benchmarks/results/policies-simulated.json`.
"""


def table(rows: Sequence[Row]) -> str:
    head = "| workload | policy | configuration | capacity | at 1.5x best fixed | | at 1.5x its own | |"
    lines = [head, "|---|---|---|--:|--:|---|--:|---|"]
    for row in rows:
        beyond = [_beyond(row["overload"].get(key)) for key in ("of best fixed", "of its own")]
        cells = [
            row["workload"],
            row["policy"],
            setting(row),
            f"{row['capacity']:.2f}",
            *beyond[0],
            *beyond[1],
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def setting(row: Row) -> str:
    c = row["configuration"]
    name = "" if c["policy"] == row["policy"] else f"{c['policy']}, "
    return f"{name}{c['budget']}/{c['max_seqs']}{', by level' if c['by_level'] else ''}"


def _beyond(run: Row | None) -> tuple[str, str]:
    if run is None:
        return "", ""
    shares = [f"{name} {100 * share:.0f} %" for name, share in run["attainment"].items()]
    if "batch" in run["ttft_p95_s"]:
        shares.append(f"batch {100 * run['completion']:.0f} %")
    return f"{run['goodput']:.2f}", ", ".join(shares)


def picture(rows: Sequence[Row]) -> str:
    """A group of bars for each workload, one for each policy, as long as its capacity."""
    widest = max(row["capacity"] for row in rows) or 1.0
    parts, y, workload = [], 0, None
    for row in rows:
        if row["workload"] != workload:
            workload = row["workload"]
            y += 28
            parts.append(f'<text class="head" x="8" y="{y}">{workload}</text>')
        y += 20
        kind = {"best fixed": "fixed", "adaptive": "adaptive"}.get(row["policy"], "bar")
        length = 420 * row["capacity"] / widest
        parts += [
            f'<text x="120" y="{y}" text-anchor="end">{row["policy"]}</text>',
            f'<rect class="{kind}" x="130" y="{y - 11}" width="{length:.1f}" height="13" rx="2"/>',
            f'<text class="dim" x="{136 + length:.1f}" y="{y}">{row["capacity"]:.2f}</text>',
        ]
    title = "capacity: requests/s at which every promise holds"
    height = y + 40
    parts.append(f'<text class="dim" x="130" y="{y + 24}">{title}</text>')
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 620 {height}" role="img" aria-label="{title}">'
    )
    return "\n".join([opening, style, *parts, "</svg>", ""])


def background_line(row: Row, alone_tok_s: float) -> str:
    attained = "-"
    if row["rate"]:
        each = ", ".join(f"{100 * m / n:.2f}" for m, n in zip(row["met"], row["requests"], strict=True))
        attained = f"{100 * sum(row['met']) / sum(row['requests']):.2f} % ({each})"
    cells = [
        f"{row['share']:g}x, {row['rate']:.2f}/s" if row["rate"] else "none",
        "deep" if row["queue"] else "none",
        attained,
        f"{min(row['busy']):.3f}",
        f"{row['batch_tok_s']:,.0f} ({100 * row['batch_tok_s'] / alone_tok_s:.0f} %)"
        if row["queue"]
        else "-",
    ]
    return f"| {' | '.join(cells)} |\n"


def write() -> None:
    """From what lies in benchmarks/results/."""
    rows, beside = json.loads(RESULTS.read_text())["rows"], json.loads(BACKGROUND.read_text())
    PICTURE.write_text(picture(rows))
    lines = "".join(background_line(row, beside[-1]["batch_tok_s"]) for row in beside)
    PAGE.write_text(introduction + table(rows) + closing + background + lines)


if __name__ == "__main__":
    write()
