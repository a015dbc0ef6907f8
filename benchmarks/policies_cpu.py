"""Goodput of `adaptive` beside every other policy and the best fixed configuration that a search finds: the
real server over HTTP, SmolLM2-135M on this machine's CPU, open-loop load.

    python benchmarks/policies_cpu.py                      all of it, 45 minutes on two cores
    python benchmarks/policies_cpu.py --stage search       no further than that; no trial is made twice
    python benchmarks/policies_cpu.py --rounds 5 --policy adaptive --policy best-fixed
    python benchmarks/policies_cpu.py --book try.jsonl --seconds 15 --rounds 1       a short try

search      races fixed configurations (stall-free and prefill-first) near capacity: the worse half of them
            leaves after each of three ever longer trials at ever higher rates; the best one runs with 16
            sequences too. What completes less than 90 % of batch's tokens ranks behind what does.
capacity    the largest rate at which the best fixed one holds: 95 % attainment, 90 % of batch's tokens; with
            `--own` adaptive's too, which overload_cpu.py takes
compare     rounds at 0.7, 1 and 1.5 times that, policies in turns, the same requests for all in a round

The book knows nothing of versions: for another engine, begin with another one, or none.
What is promised and asked is in cpu_world.py, what a trial is in cpu_trials.py. Every trial is a line of
benchmarks/results/policies-cpu.jsonl; what they come to is policies-cpu.json beside it, from which
`policies_cpu_page.py` makes docs/policies-cpu.md. On a machine much quicker or slower than the one there,
begin with another `--rate`.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from cpu_trials import Book, Pooled, Row, Wanted, pooled
from cpu_world import Configuration
from where import where

from headway.sim.capacity import attained, capacity, completed

BOOK = Path(__file__).parent / "results" / "policies-cpu.jsonl"
BEST_FIXED = "best-fixed"
STAGES = ("search", "capacity", "compare")
factors = (0.7, 1.0, 1.5)  # of capacity
guess = 1.4  # requests per second, near the capacity of two cores
few_seqs = 16

# As they come, with the defaults of `headway serve` or what they were published with; those that choose a
# step's length themselves get room to.
LINE_UP = {
    "adaptive": Configuration("adaptive", 2048, 64),
    "stall-free": Configuration("stall-free", 256, 64),
    "prefill-first": Configuration("prefill-first", 2048, 64),
    "decode-first": Configuration("decode-first", 2048, 64),
    "static": Configuration("static", 2048, 64),
    "aimd": Configuration("aimd", 2048, 64),
}
FIXED = [
    *(Configuration("stall-free", budget, 64) for budget in (64, 128, 256, 512, 1024, 2048)),
    *(Configuration("prefill-first", budget, 64) for budget in (512, 1024, 2048)),
]
capacity_seed = 21


class Heat(NamedTuple):
    """Of the search, in units of its rate and of a trial."""

    rate: float
    length: float


HEATS = (Heat(1.0, 0.5), Heat(1.2, 0.75), Heat(1.4, 1.0))

T = TypeVar("T")


def race(entrants: Sequence[T], rank: Callable[[T, int], Any], stay: Sequence[int]) -> list[T]:
    """Who is left, best first, when after heat i only the `stay[i]` best by rank(entrant, i) have stayed."""
    left = list(entrants)
    for heat, count in enumerate(stay):
        ranks = {entrant: rank(entrant, heat) for entrant in left}
        left = sorted(left, key=lambda entrant: ranks[entrant], reverse=True)[:count]
    return left


def standing(of: Pooled) -> tuple[bool, float]:
    return of.completion >= completed, of.goodput


def search(book: Book, rate: float, seconds: float) -> Configuration:
    """The best fixed one. Each heat is longer and its rate higher than the one before, so that some fail;
    a candidate's trials count together, the longer the more.
    """

    def trials(heats: Sequence[int], entrant: Configuration) -> list[Row]:
        wanted = ((round(HEATS[i].rate * rate, 3), 11 + i, HEATS[i].length * seconds) for i in heats)
        return [book.trial(Wanted("search", entrant, *each)) for each in wanted]

    def rank(entrant: Configuration, heat: int) -> tuple[bool, float]:
        return standing(pooled(trials(range(heat + 1), entrant)))

    finalists = race(FIXED, rank, (4, 2))
    finalists += [finalist._replace(max_seqs=few_seqs) for finalist in finalists[:1]]
    (best,) = race(finalists, lambda entrant, _: rank(entrant, 2), (1,))
    return best


def find_capacity(book: Book, fixed: Configuration, rate: float, seconds: float) -> float:
    """To a tenth. One trial a rate, half as long again as the others."""

    def can(rate: float) -> bool:
        row = book.trial(Wanted("capacity", fixed, round(rate, 3), capacity_seed, 1.5 * seconds))
        return bool(row["attainment"] >= attained and row["completion"] >= completed)

    return round(capacity(can, rate, tolerance=0.1, stride=1.25), 3)


def line_up(policies: Sequence[str], fixed: Configuration) -> dict[str, Configuration]:
    return {name: fixed if name == BEST_FIXED else LINE_UP[name] for name in policies}


def compare(book: Book, entrants: dict[str, Configuration], rate: float, rounds: int, seconds: float) -> None:
    """The first round has everyone, the others only who is compared first of all. Who begins changes."""
    for number in range(rounds):
        names = [n for n in entrants if number == 0 or n in ("adaptive", BEST_FIXED) or len(entrants) <= 2]
        turn = number % len(names)
        for factor in factors:
            for name in names[turn:] + names[:turn]:
                at = round(factor * rate, 3)
                book.trial(Wanted("compare", entrants[name], at, number + 1, seconds))


def found(book: Book, given: argparse.Namespace) -> Row:
    """Runs the stages up to the one asked for; what the book has is not measured again."""
    fixed = given.fixed or search(book, given.rate, given.seconds)
    book.say(f"best fixed: {fixed}")
    result: Row = {
        "where": where(),
        "fixed": fixed._asdict(),
        "fixed_given": bool(given.fixed),
        "searched": searched(book.rows),
    }
    if given.stage == "search":
        return result
    rate = given.capacity or find_capacity(book, fixed, given.rate, given.seconds)
    book.say(f"its capacity: {rate:.3f} requests/s")
    result |= {"capacity": rate, "capacity_given": bool(given.capacity), "seconds": given.seconds}
    if given.own:
        own = find_capacity(book, LINE_UP["adaptive"], rate, given.seconds)
        book.say(f"adaptive's own: {own:.3f} requests/s")
        result |= {"own_capacity": own}
    if given.stage == "capacity":
        return result
    policies = given.policy or ["adaptive", BEST_FIXED, *(name for name in LINE_UP if name != "adaptive")]
    entrants = line_up(policies, fixed)
    compare(book, entrants, rate, given.rounds, given.seconds)
    not_valid = sum(row["stage"] == "compare" and not row["valid"] for row in book.rows)
    lines = compared(book.rows, entrants, rate, given.seconds)
    return result | {"compared": lines, "not_valid": not_valid}


def searched(rows: Sequence[Row]) -> list[Row]:
    """Every candidate with what its trials came to, the one that came furthest first."""
    by_entrant: dict[Configuration, list[Row]] = {}
    for row in rows:
        if row["stage"] == "search" and row["valid"]:
            by_entrant.setdefault(Configuration(**row["configuration"]), []).append(row)
    ranked = sorted(
        by_entrant.items(), key=lambda item: (len(item[1]), pooled(item[1]).goodput), reverse=True
    )
    return [{**entrant._asdict(), "trials": len(own), **pooled(own)._asdict()} for entrant, own in ranked]


def compared(
    rows: Sequence[Row], entrants: dict[str, Configuration], capacity: float, seconds: float
) -> list[Row]:
    """By factor and policy: each round's goodput, by seed, and what the rounds come to together."""
    lines = []
    for factor in factors:
        for name, entrant in entrants.items():
            own = [
                row
                for row in rows
                if row["stage"] == "compare"
                and Configuration(**row["configuration"]) == entrant
                and (row["rate"], row["seconds"]) == (round(factor * capacity, 3), seconds)
                and row["valid"]
            ]
            if own:
                goodput = {str(row["seed"]): row["goodput"] for row in own}
                lines.append({"factor": factor, "policy": name, "goodput": goodput, **together(own)})
    return lines


def together(rows: Sequence[Row]) -> Row:
    names = rows[0]["classes"]
    lines = {name: [row["classes"][name] for row in rows if name in row["classes"]] for name in names}
    return {
        "attainment": {
            name: round(sum(line["met"] for line in own) / sum(line["requests"] for line in own), 4)
            for name, own in lines.items()
            if name != "batch"
        },
        "completion": round(pooled(rows).completion, 4),
    }


def configuration(text: str) -> Configuration:
    policy, budget, max_seqs = text.split("/")
    return Configuration(policy, int(budget), int(max_seqs))


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--stage", choices=STAGES, help="the last that is run; default: all")
    add("--policy", action="append", choices=[*LINE_UP, BEST_FIXED], help="to compare; default: all")
    add("--rounds", type=int, default=3, help="of the comparison")
    add("--seconds", type=float, default=40.0, help="of arrivals in a trial")
    add("--rate", type=float, default=guess, help="requests/s to search near")
    add("--fixed", type=configuration, help="POLICY/BUDGET/SEQS, in place of what a search would find")
    add("--capacity", type=float, help="requests/s, in place of the one that would be found")
    add("--own", action="store_true", help="find adaptive's own capacity too")
    add("--book", type=Path, default=BOOK, help="file of trials; what is found lies beside it")
    add("--json", action="store_true", help="the last line is what was found as JSON")
    return parser.parse_args(arguments)


def main() -> None:
    given = options()
    book = Book(given.book, say=partial(print, flush=True))
    result = found(book, given)
    given.book.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    if given.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
