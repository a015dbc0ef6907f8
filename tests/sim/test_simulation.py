"""Thousands of seeded worlds, every invariant after every turn (see docs/style.md)."""

from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import pytest

from tests.fresh_processes import told_by_two
from tests.sim.checked_run import run_seed


def run_counts(seeds: range) -> Counter:
    total: Counter = Counter()
    for seed in seeds:
        total += run_seed(seed).counts
    return total


def explore(seeds: int) -> Counter:
    """Run seeds 0 to `seeds` on two processes and add up what they exercised."""
    shares = [range(first, min(first + 50, seeds)) for first in range(0, seeds, 50)]
    with ProcessPoolExecutor(2) as pool:
        return sum(pool.map(run_counts, shares), Counter())


EXERCISED = (
    "chunks",
    "prefix hit tokens",
    "salted hits",
    "recomputed tokens",
    "ended cancelled",
    "ended error",
    "refused overloaded",
    "refused too_long",
    "cancelled in the queue",
    "cancelled while held back",
    "cancelled while running",
    "cancelled in flight",
    "cancelled after the end",
    "faults with work in flight",
    "choices that an executor took with it",
    "runs whose decodes may not wait",
    "batches in which the oldest had to advance",
    "live changes",
    *(f"depth {d}" for d in (1, 2, 3, 4)),
)


def check_worth(counts: Counter, exercised: tuple[str, ...]) -> None:
    for name, number in sorted(counts.items()):
        print(f"{number:11,}  {name}")
    assert counts["runs with pre-emption"] >= 0.3 * counts["runs"]
    assert not [name for name in exercised if not counts[name]], "no run exercised these"


def test_every_invariant_holds_in_a_hundred_worlds():
    check_worth(explore(100), EXERCISED)


@pytest.mark.slow
@pytest.mark.timeout(900)  # some three minutes alone on two cores, more beside the other tests
def test_every_invariant_holds_in_more_than_two_thousand_worlds():
    counts = explore(2300)
    rare = ("cancelled while leaving", "live changes that leave someone without a class")
    check_worth(counts, (*EXERCISED, *rare))
    assert counts["runs"] - counts["runs under 200 turns"] >= 2000


def test_the_same_seed_decides_the_same_in_two_fresh_processes():
    program = "from tests.sim.checked_run import run_seed; print(*(run_seed(s).digest for s in range(12)))"
    digests = told_by_two(program)
    assert len(digests) == 1
    assert len(set(digests.pop().split())) == 12, "different seeds decide differently"
