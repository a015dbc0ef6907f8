"""The largest rate that keeps the promises: on an engine whose answer is known from the theory of queues, and
on trials that are made up.
"""

from collections import Counter
from functools import partial
from math import exp, factorial, inf
from statistics import median

import pytest

from headway.bench.largest_rate import Found, Trial, hopeless, judged, largest_rate, may_miss
from headway.bench.lengths import read_lengths
from headway.bench.report import Answer
from headway.bench.workload import Part, Workload
from headway.core.limits import Limits
from headway.core.memory import paged
from headway.core.policies import POLICIES
from headway.core.slo import BATCH, CHAT, ServiceClass
from headway.sim import simulate
from headway.sim.judge import Judge

step_s, promised_s = 0.1, 0.5
HURRIED = ServiceClass(name="chat", ttft_p95_s=promised_s)


def share_in_time(rate: float) -> float:
    """Of an M/D/1 queue, first come first served: P(wait <= promised - step), by Erlang (1909)."""
    busy, wait_s = rate * step_s, promised_s - step_s
    terms = (
        (rate * (k * step_s - wait_s)) ** k / factorial(k) * exp(-rate * (k * step_s - wait_s))
        for k in range(int(wait_s / step_s + 1e-9) + 1)
    )
    return (1 - busy) * sum(terms)


def known_answer() -> float:
    low, high = 0.1, 1 / step_s
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if share_in_time(middle) >= 0.95 else (low, middle)
    return low


def search(seed: int, requests: int = 1000, most_trials: int = 24) -> Found:
    """Prompts of one step each, one at a time: the engine is that queue."""
    classes = {"chat": HURRIED}
    limits = Limits(1, 64, 1 << 20, 16, 64, 64)

    def attempt(rate: float, number: int) -> Trial:
        load = Workload((Part("chat", 1.0, read_lengths("8:1")),), requests=requests)
        trial = simulate.Trial(load, classes, lambda batch: step_s, paged, inf, inf)
        asked = list(load.arrivals(rate, 1000 * seed + number, inf))
        judge = Judge(asked, classes, inf, tolerated=hopeless * may_miss)
        end_s = simulate.run(trial, POLICIES["stall-free"](), limits, asked, seed, judge)
        return judged(judge.answers(), classes, rate, end_s if judge.stopped else None)

    return largest_rate(attempt, classes, 3.0, most_trials)


@pytest.mark.slow
def test_the_true_rate_lies_in_the_interval_for_eighteen_seeds_of_twenty() -> None:
    true = known_answer()
    assert 5.0 < true < 8.0
    found = [search(seed) for seed in range(20)]
    assert sum(each.low <= true <= each.high for each in found) >= 18
    widths = [each.high / each.low if each.low else inf for each in found]
    assert median(widths) < 1.2, "an interval that says something"
    assert {each.binds for each in found} == {("chat", "ttft")}


def made_up(rate: float, number: int, answer: float = 4.0) -> Trial:
    """Misses grow with the sixth power of the rate, by no chance at all; 5 in 100 at the answer."""
    share = min(0.9, 0.05 * (rate / answer) ** 6)
    return Trial(rate, {"chat": 1000, "batch": 100}, {("chat", "itl"): round(1000 * share)})


@pytest.mark.parametrize("guess", [0.02, 3.0, 4.0, 50.0])
def test_wherever_it_begins_it_ends_there(guess: float) -> None:
    found = largest_rate(made_up, {"chat": CHAT, "batch": BATCH}, guess, 40)
    assert found.rate == pytest.approx(4.0, rel=0.02)
    assert found.high / found.low < 1.05, "where chance has no part the interval is narrow"
    assert found.binds == ("chat", "itl")
    assert len(found.trials) == 40


def test_where_no_rate_holds_it_says_so_with_what_is_missed() -> None:
    found = largest_rate(
        lambda rate, number: Trial(rate, {"chat": 100}, {("chat", "ttft"): 50}), {"chat": CHAT}, 1.0, 50
    )
    assert (found.rate, found.low) == (0.0, 0.0)
    assert found.binds == ("chat", "ttft")
    assert len(found.trials) < 10, "a sixty-fourth of the guess is enough to know"


def test_where_the_trials_run_out_it_claims_no_more_than_was_seen() -> None:
    held = largest_rate(lambda rate, number: Trial(rate, {"chat": 100}, {}), {"chat": CHAT}, 1.0, 4)
    assert (held.rate, held.low, held.high) == (None, 8.0, inf)
    failed = largest_rate(partial(made_up, answer=0.05), {"chat": CHAT, "batch": BATCH}, 1.0, 3)
    assert (failed.rate, failed.low, failed.high) == (None, 0.0, 0.25)


def test_a_class_that_hardly_any_trial_asked_for_leaves_the_answer_to_the_others() -> None:
    def attempt(rate: float, number: int) -> Trial:
        trial = made_up(rate, number)
        return trial._replace(requests={"chat": 1000, **({"batch": 1} if number == 10 else {})})

    found = largest_rate(attempt, {"chat": CHAT, "batch": BATCH}, 3.0, 20)
    assert found.low < found.rate < found.high
    assert found.rate == pytest.approx(4.0, rel=0.02)


def test_of_several_classes_the_first_to_miss_too_much_binds() -> None:
    def attempt(rate: float, number: int) -> Trial:
        chat, batch = (
            round(1000 * min(0.9, share)) for share in (0.05 * (rate / 4) ** 6, 0.1 * (rate / 3) ** 6)
        )
        missed = {("chat", "itl"): chat, ("batch", "completion"): batch}
        return Trial(rate, {"chat": 1000, "batch": 1000}, missed)

    found = largest_rate(attempt, {"chat": CHAT, "batch": BATCH}, 1.0, 30)
    assert found.rate == pytest.approx(3.0, rel=0.02)
    assert found.binds == ("batch", "completion")


def test_the_first_and_the_last_of_a_trial_are_not_judged() -> None:
    answers = [Answer("chat", float(i), [i + 0.1, i + 0.15], True, 10) for i in range(10)]
    answers[0] = Answer("chat", 0.0, [], False, 10)
    answers[4] = Answer("chat", 4.0, [4.1, 4.4], True, 10)
    answers[5] = Answer("chat", 5.0, [5.6, 5.65], True, 10)
    trial = judged(answers, {"chat": CHAT}, 2.0)
    assert trial == Trial(2.0, Counter(chat=8), Counter({("chat", "itl"): 1, ("chat", "ttft"): 1}))


def test_of_a_trial_that_was_stopped_only_the_class_that_stopped_it_counts() -> None:
    late = [Answer("chat", float(i), [i + 0.9], True, 10) for i in range(9)]
    waiting = [Answer("chat", 9.0, [], False, 10), Answer("chat", 9.9, [], False, 10)]
    batch = [Answer("batch", float(i), [], False, 10) for i in range(11)]
    answers = sorted([*late, *waiting, *batch], key=lambda a: a.arrival_s)
    trial = judged(answers, {"chat": CHAT, "batch": BATCH}, 2.0, stopped_s=10.0)
    assert set(trial.requests) == {"chat"}
    assert set(trial.missed) == {("chat", "ttft")}
    assert trial.misses("chat") == trial.requests["chat"], "who has not waited for long is not among them"
