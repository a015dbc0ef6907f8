"""Every experiment of `headway headlines`, kept with date, machine and commit, and docs/headlines.md of them.

python benchmarks/headlines_page.py             all of it, then the page: half an hour on two cores
python benchmarks/headlines_page.py --only B    a part, then the page; the rest is kept
python benchmarks/headlines_page.py --page      the page alone, of what was kept
"""

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Any

from served import where

from headway.headlines.experiments import EXPERIMENTS, run
from headway.headlines.rows import FULL

ROOT = Path(__file__).parents[1]
RESULTS, PAGE = ROOT / "benchmarks" / "results" / "headlines.json", ROOT / "docs" / "headlines.md"
near = 0.15  # ratios no further from 1 are counted

TITLES = {
    "A": "A. Sarathi-Serve beside vLLM and Orca",
    "B": "B. Batches of 1 to 64",
    "C": "C. Paged memory beside what came before",
    "D": "D. Hardware",
    "E": "E. Tensor parallelism",
    "F": "F. Targets",
    "F2": "F2. Shapes",
}
introduction = """# Published results, run again

What `headway headlines` prints: experiments that others published, run by Headway's own scheduler on its cost
model. *Ours* comes out of a simulation each time; *ratio* is ours over the claim, of a range over its nearer
end, 1 within it. *Fitted*: a parameter of `src/headway/sim/fits.py` was fitted on that row, so it is met and
not predicted. There is one set of parameters for each family of devices and each generation of engines, and
none for an experiment. Where no figure is stated, what comes out is reported as it is.

"""


def told(running: Sequence[str], done: int, total: int) -> None:
    print(f"{done}/{total}: {'; '.join(running)}", flush=True)


def measure(letters: Sequence[str]) -> dict[str, Any]:
    """By letter: its rows, and where, when and in how many seconds they were made."""
    found = {}
    for letter in letters:
        begun_s, place = monotonic(), where()
        rows = run([letter], FULL, os.cpu_count() or 1, told)
        seconds = round(monotonic() - begun_s, 1)
        found[letter] = {"where": place, "seconds": seconds, "rows": [row.as_json() for row in rows]}
    return found


def page(kept: dict[str, Any]) -> str:
    return introduction + "\n".join(_section(letter, kept[letter]) for letter in TITLES if letter in kept)


def _section(letter: str, part: dict[str, Any]) -> str:
    rows, place = part["rows"], part["where"]
    judged = [row for row in rows if row["ratio"] is not None and not row.get("fitted")]
    met = sum(abs(row["ratio"] - 1) <= near for row in judged)
    lines = [
        f"## {TITLES[letter]}\n",
        f"Of {len(judged)} predicted figures that are stated, {met} come out within {near:.0%}.\n",
        "| claim | source | ours | ratio |",
        "|---|---|--:|--:|",
        *(_line(row) for row in rows),
        f"\n{place['date'][:10]}, commit {place['commit']}, {place['cores']} cores ({place['cpu']}), "
        f"{part['seconds']:.0f} s.\n",
    ]
    return "\n".join(lines)


def _line(row: dict[str, Any]) -> str:
    ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}" + " (fitted)" * bool(row.get("fitted"))
    ours = f"{row['ours']:,} {row['unit']}" + (f"; {row['note']}" if "note" in row else "")
    return f"| {row['claim']} | {row['source']} | {ours} | {ratio} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", action="append", choices=list(EXPERIMENTS), help="default: all")
    parser.add_argument("--page", action="store_true")
    arguments = parser.parse_args()
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for letter in [] if arguments.page else arguments.only or EXPERIMENTS:
        kept |= measure([letter])
        RESULTS.write_text(json.dumps({name: kept[name] for name in TITLES if name in kept}, indent=1) + "\n")
    PAGE.write_text(page(kept))


if __name__ == "__main__":
    main()
