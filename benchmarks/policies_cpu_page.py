"""Makes docs/policies-cpu.md and its picture from the results of the measurements on a CPU that there are.

python benchmarks/policies_cpu_page.py
"""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from policies_page import style

Row = dict[str, Any]
ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE, PICTURE = ROOT / "docs" / "policies-cpu.md", ROOT / "docs" / "policies-cpu.svg"
BEST_FIXED, ADAPTIVE = "best-fixed", "adaptive"

introduction = """# Policies on a CPU

SmolLM2-135M (Q4_1 weights, float32 arithmetic) on two cores, the real server over HTTP on loopback, open-loop
load by a client on the same cores. Every token is stamped by the client's clock, and a request's arrival is
the moment it was meant to be sent; words are those of [definitions.md](definitions.md). Where the client was
the bottleneck (its loop woke more than 20 ms late, 1 time in 100), or other processes had more than 0.15 of a
core, a trial of the policies is made again. Prompts are random token ids, no two begin alike; an answer's
length is known to the server as `max_tokens`, which of the policies only adaptive looks at.

*Mixed load*, by rate: 60 % chat (prompts of 16 to 1,500 tokens, median 100; answers of 8 to 90, median 35;
the first token in 2 s, 200 ms between tokens), 25 % interactive (80 to 240 in, 8 to 40 out; the whole answer
in 6 s), 15 % batch (200 to 500 in, 30 to 60 out; no targets). Poisson arrivals, given their number; every
seed brings the same lengths in another order.
"""
closing = "\nMade by `python benchmarks/policies_cpu_page.py` from `benchmarks/results/`.\n"


def page(results: dict[str, Row]) -> str:
    """A section for each of `sections` that there are results of."""
    parts = [f"\n{write(results[name])}" for name, write in sections.items() if name in results]
    return "".join((introduction, *parts, closing))


# ---- the policies


def policies(found: Row, title: str = "Goodput beside the best fixed configuration", drawn: str = "") -> str:
    text = f"""## {title}

Requests per second that met every target of their class (batch has none: those that ended), in trials of
{found["seconds"]:g} s of arrivals, each with a server of its own; what has not ended 12 s later is missed.
{_fixed(found)}
The policies took turns; in a round all were asked for the same. Median (least to most) over the rounds.
Trials that were not valid and do not count: {found["not_valid"]}. {measured(found["where"])}

{drawn}"""
    text += heading("rate", "policy", "goodput", "chat", "interactive", "batch tokens")
    for line in found["compared"]:
        shares = [share(line["attainment"].get(name)) for name in ("chat", "interactive")]
        cells = [f"{line['factor']:g}x", line["policy"], told(list(line["goodput"].values())), *shares]
        text += row_of(*cells, share(line["completion"]))
    return text + ratios(found["compared"])


def _fixed(found: Row) -> str:
    """What 1x is, and by whose word."""
    name, rate = setting(found["fixed"]), f"{found['capacity']:.2f} requests/s"
    words = "(tokens of a step / sequences)"
    if found["fixed_given"]:
        first = f"As the best fixed configuration {name} {words} was given"
        first += (
            ", which a search of an earlier hour had found."
            if found["searched"]
            else "; none was searched for."
        )
    else:
        entrants = len(found["searched"])
        first = f"The best fixed configuration is what a race of {entrants} ended with: {name} {words}."
    if found["capacity_given"]:
        return f"{first}\n1x is {rate}, a rate that was given."
    return (
        f"{first}\n1x is its *capacity*, {rate}: the largest rate at which each class with targets meets "
        "them for 95 % of its\nrequests and 90 % of the batch tokens are completed."
    )


def ratios(compared: Sequence[Row]) -> str:
    """Adaptive over the best fixed one, each round's own."""
    goodput = {(line["factor"], line["policy"]): line["goodput"] for line in compared}
    parts = []
    for factor in sorted({line["factor"] for line in compared}):
        ours, fixed = goodput.get((factor, ADAPTIVE), {}), goodput.get((factor, BEST_FIXED), {})
        of_rounds = [ours[seed] / fixed[seed] for seed in ours if fixed.get(seed)]
        if of_rounds:
            parts.append(f"{told(of_rounds)} at {factor:g}x")
    words = "Goodput of adaptive over that of the best fixed one, round by round"
    return f"\n{words}: {', '.join(parts)}.\n" if parts else ""


def picture(compared: Sequence[Row]) -> str:
    """A group of bars for each rate: a bar to the median goodput, through its end a line over the spread."""
    widest = max((max(line["goodput"].values()) for line in compared), default=0.0) or 1.0
    parts, y, factor = [], 0, None
    for line in compared:
        values = list(line["goodput"].values())
        if line["factor"] != factor:
            factor = line["factor"]
            y += 28
            parts.append(f'<text class="head" x="8" y="{y}">{factor:g}x</text>')
        y += 20
        kind = {BEST_FIXED: "fixed", ADAPTIVE: "adaptive"}.get(line["policy"], "bar")
        length, *ends = (130 + 420 * value / widest for value in (median(values), min(values), max(values)))
        parts += [
            f'<text x="120" y="{y}" text-anchor="end">{line["policy"]}</text>',
            f'<rect class="{kind}" x="130" y="{y - 11}" width="{length - 130:.1f}" height="13" rx="2"/>',
            f'<path class="spread" d="M{ends[0]:.1f} {y - 4.5}H{ends[1]:.1f}"/>',
            f'<text class="dim" x="{max(length, ends[1]) + 6:.1f}" y="{y}">{median(values):.2f}</text>',
        ]
    title = "goodput: requests/s that met every target, at 0.7, 1 and 1.5 times the best fixed one's capacity"
    parts.append(f'<text class="dim" x="8" y="{y + 24}">{title}</text>')
    size = f'viewBox="0 0 620 {y + 40}" role="img" aria-label="{title}"'
    own = "<style>.spread { stroke: #cf222e; stroke-width: 2 }</style>"
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" {size}>', style, own, *parts, "</svg>", ""])


# ---- the others


def long_prompts(found: Row) -> str:
    text = f"""## Long prompts beside running chats

Eight chats that do not end, 150 ms between tokens promised, and every 5 s a prompt of 2,000 to 4,000 tokens,
asked for as batch or as chat. Gaps of the chats, in ms. *Disturbed*: others had much of the cores whenever
it was tried. {measured(found)}

"""
    head = ("policy", "long prompts as", "p50", "p95", "p99", "most", "chats within 150 ms (p95)")
    text += heading(*head, "long prompts begun", "their first token, p50")
    for row in found["trials"]:
        chats, long = row["chats"], row["long"]
        itl = [f"{1e3 * chats['itl'][name]:,.0f}" for name in ("p50", "p95", "p99")]
        most = f"{1e3 * chats['itl_max_s']:,.0f}"
        kept, begun = f"{chats['within_target']} of {chats['of']}", f"{long['begun']} of {long['asked']}"
        ttft = "-" if long["ttft"] is None else f"{long['ttft']['p50']:.1f} s"
        name = setting(row) if row["valid"] else f"{setting(row)}, disturbed"
        text += row_of(name, row["long_class"], *itl, most, kept, begun, ttft)
    return text


def forecast(found: Row) -> str:
    text = f"""## Forecast of a step

How far steps were off their forecasts, |actual / forecast - 1|, under {found["rate"]:g} requests/s of mixed
load: after 30 s of it; the steps 51 to 100 after a process for each core began to compete; the same after
they had gone. {measured(found)}

"""
    text += heading("", "steps", "median", "p95", "within 7 %", "within 10 %", "within 20 %")
    for phase, row in found["phases"].items():
        errors = ["over 50 %" if row[name] is None else share(row[name]) for name in ("median", "p95")]
        within = [share(row["within"][distance]) for distance in ("0.07", "0.1", "0.2")]
        text += row_of(phase, row["steps"], *errors, *within)
    return text


def overload(found: Row) -> str:
    """Of its parts, those that there are."""
    parts = {"overload": _overload, "background": _background, "defaults": _defaults}
    return "\n".join(write(found[part]) for part, write in parts.items() if part in found)


def _overload(found: Row) -> str:
    text = f"""## Beyond capacity

Adaptive; chat and interactive (first token in 2 s) refuse what would come too late. 20 s at 3 times
{found["capacity"]:.2f} requests/s, then 40 s at 0.7 times. Who is refused comes again once, when
`Retry-After` says. {measured(found["where"])}

"""
    head = ("round", "refused", "a 429 after: p50, p95, most, ms", "of all 429 within 50 ms", "let in again")
    text += heading(*head, "met, of those let in at once", "afterwards")
    for row in found["trials"]:
        waits, phases = row["refusal_s"], (row["beyond_capacity"], row["afterwards"])
        after = "-" if waits is None else ", ".join(f"{1e3 * waits[n]:.0f}" for n in ("p50", "p95", "max"))
        in_time = f"{row['refused_in_time']} of {row['refusals']}"
        again = f"{row['let_in']} of {row['came_again']}"
        met = [share(phase["attainment"]) for phase in phases]
        text += row_of(row["seed"], f"{row['refused']} of {row['asked']}", after, in_time, again, *met)
    return text


def _background(found: Row) -> str:
    alone = "chat_alone" in found
    of = "its capacity when nobody else comes" if alone else "the mixed load's capacity of an earlier hour"
    text = f"""## A deep queue of batch beside chat

Chat at 0.3 and 0.7 of {found["capacity"]:.2f} requests/s, {of}, by itself
and beside a batch queue that does not run dry. *Busy*: the share of the time in which a step ran.
{measured(found["where"])}

"""
    text += heading("chat's rate", "batch queue", "chat's attainment", "busy")
    rows = found["trials"]
    for factor, queue in sorted({(row["factor"], row["queue"]) for row in rows}):
        own = [row for row in rows if (row["factor"], row["queue"]) == (factor, queue)]
        chats = [row["classes"]["chat"] for row in own]
        met = sum(line["met"] for line in chats) / sum(line["requests"] for line in chats)
        busy = told([row["busy"] for row in own])
        text += row_of(f"{factor:g}x", "deep" if queue else "none", share(met), busy)
    return text


def _defaults(found: Row) -> str:
    (row,) = found["trials"]
    named = "; ".join(row["named"]) or "nothing"
    return f"""## Defaults

`headway serve` without a flag, prompts of 1,000 to 7,000 tokens among short ones: {row["answered"]} of
{row["asked"]} answered, {row["refused"]} refused. The log named as impossible: {named}. Of a class that
promises 2 ms between tokens it said so {len(row["named_of_a_hurried_class"])} times over 20 requests.
{measured(found["where"])}
"""


# ---- words


def heading(*names: str) -> str:
    return row_of(*names) + f"|{'---|' * len(names)}\n"


def row_of(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |\n"


def setting(row: Row) -> str:
    return f"{row['policy']} {row['budget']}/{row['max_seqs']}"


def measured(where: Row) -> str:
    return (
        f"Measured {where['date'][:10]} on {where['cores']} cores ({where['cpu']}), commit {where['commit']}."
    )


def told(values: Sequence[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


sections: dict[str, Callable[[Row], str]] = {
    "policies-cpu": policies,
    "policies-cpu-all": partial(
        policies, title="Every policy", drawn="![goodput of each policy](policies-cpu.svg)\n\n"
    ),
    "long-prompts-cpu": long_prompts,
    "forecast-cpu": forecast,
    "overload-cpu": overload,
}


def main() -> None:
    paths = {name: RESULTS / f"{name}.json" for name in sections}
    results = {name: json.loads(path.read_text()) for name, path in paths.items() if path.exists()}
    for name in ("policies-cpu", "policies-cpu-all"):
        if "compared" not in results.get(name, {}):
            results.pop(name, None)  # a search alone is no comparison
    if "policies-cpu-all" in results:
        PICTURE.write_text(picture(results["policies-cpu-all"]["compared"]))
    PAGE.write_text(page(results))


if __name__ == "__main__":
    main()
