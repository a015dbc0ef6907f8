"""Every experiment of `headway headlines`, kept with date, machine and commit, and docs/headlines.md of them.

    python benchmarks/headlines_page.py             what is not kept yet, then the page: half an hour in all
    python benchmarks/headlines_page.py --only B    a part of it
    python benchmarks/headlines_page.py --again     what is kept, too
    python benchmarks/headlines_page.py --page      the page alone
    python benchmarks/headlines_page.py --real      G, too, with the real engine and nothing else at work: ten
                                                    minutes more

Each job is kept as soon as it is done: stop it and go on later.
"""

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from where import where

from headway.cli.measured import serve
from headway.headlines.experiments import EXPERIMENTS, MEASURED, in_order, jobs_of, run
from headway.headlines.rows import FULL, Job, Row

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
    "G": "G. This machine, with the real engine",
}
introduction = """# Published results, run again

What `headway headlines` prints: experiments that others published, run by Headway's own scheduler on its cost
model. *Ours* comes out of a simulation each time; *ratio* is ours over the claim, of a range over its nearer
end, 1 within it. *Fitted*: a parameter of `src/headway/sim/fits.py` was fitted on that row, so it is met and
not predicted. There is one set of parameters for each family of devices and each generation of engines, and
none for an experiment. Where no figure is stated, what comes out is reported as it is. G is measured, not
simulated: `headway headlines --real`.

"""


def told(running: Sequence[str], done: int, total: int) -> None:
    print(f"{done}/{total}: {'; '.join(running)}", flush=True)


def all_jobs(letter: str) -> list[Job]:
    return MEASURED[letter](FULL, serve) if letter in MEASURED else jobs_of([letter], FULL)


def measure(jobs: Sequence[Job], processes: int, kept: dict[str, Any]) -> None:
    """Each job's rows by its label, and where and when they were made."""
    place = where()
    for job, rows in run(jobs, processes, told):
        kept[job.label] = {"where": place, "rows": [asdict(row) for row in rows]}
        RESULTS.write_text(json.dumps(kept, indent=1) + "\n")


def page(kept: dict[str, Any]) -> str:
    sections = (_section(letter, kept) for letter in TITLES)
    return introduction + "\n".join(section for section in sections if section)


def _section(letter: str, kept: dict[str, Any]) -> str:
    jobs = [job for job in all_jobs(letter) if job.label in kept]
    found = {job.label: [_row(row) for row in kept[job.label]["rows"]] for job in jobs}
    rows = in_order(jobs, found)
    if not rows:
        return ""
    judged = [row.ratio for row in rows if row.ratio is not None and not row.fitted]
    met = sum(abs(ratio - 1) <= near for ratio in judged)
    places = {
        tuple(kept[job.label]["where"][key] for key in ("date", "commit", "cores", "cpu")) for job in jobs
    }
    made = "; ".join(
        f"{date[:10]}, commit {commit}, {cores} cores ({cpu})" for date, commit, cores, cpu in sorted(places)
    )
    count = f"Of {len(judged)} stated figures that are predicted, {met} come out within {near:.0%}.\n"
    lines = [
        f"## {TITLES[letter]}\n",
        *([count] if judged else []),
        "| claim | source | ours | ratio |",
        "|---|---|--:|--:|",
        *(_line(row) for row in rows),
        f"\n{made}.\n",
    ]
    return "\n".join(lines)


def _row(values: dict[str, Any]) -> Row:
    claimed = values["claimed"]
    return Row(**{**values, "claimed": tuple(claimed) if isinstance(claimed, list) else claimed})


def _line(row: Row) -> str:
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}" + " (fitted)" * row.fitted
    ours = f"{float(f'{row.ours:.4g}'):,g} {row.unit}" + (f"; {row.note}" if row.note else "")
    return f"| {row.claim} | {row.source} | {ours} | {ratio} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", action="append", choices=list(EXPERIMENTS), help="default: all")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--real", action="store_true")
    arguments = parser.parse_args()
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    simulated = [] if arguments.page else arguments.only or list(EXPERIMENTS)
    measured = list(MEASURED) if arguments.real else []
    for letters, processes in ((simulated, os.cpu_count() or 1), (measured, 1)):
        jobs = [job for letter in letters for job in all_jobs(letter)]
        measure([job for job in jobs if arguments.again or job.label not in kept], processes, kept)
    PAGE.write_text(page(kept))


if __name__ == "__main__":
    main()
