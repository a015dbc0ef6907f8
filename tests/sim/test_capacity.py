"""The search for a rate on curves whose edge is known, and how few runs it takes."""

import pytest

from headway.bench.report import Answer, report
from headway.core.slo import BATCH, CHAT
from headway.sim.capacity import best, capacity, holds, most


@pytest.mark.parametrize("edge", [0.05, 0.7, 1.99, 2.0, 2.01, 37.0])
def test_the_edge_of_a_monotone_curve_is_found_within_the_tolerance(edge: float) -> None:
    asked: list[float] = []

    def can(rate: float) -> bool:
        asked.append(rate)
        return rate <= edge

    found = capacity(can, guess=2.0)
    assert found <= edge < found * 1.025
    assert len(set(asked)) == len(asked), "no rate is asked about twice"
    assert len(asked) <= 22


def test_what_holds_nowhere_has_no_capacity() -> None:
    assert capacity(lambda rate: False, guess=2.0) == 0.0


def test_a_majority_asks_for_no_more_than_it_takes() -> None:
    asked: list[bool] = []

    def verdicts(*values: bool):
        asked.clear()
        for value in values:
            asked.append(value)
            yield value

    assert most(verdicts(True, True, False), 3)
    assert len(asked) == 2
    assert not most(verdicts(False, False, True), 3)
    assert len(asked) == 2
    assert most(verdicts(True, False, True), 3)
    assert most(verdicts(True), 1)
    assert not most(verdicts(True, False), 2)


def test_a_race_finds_the_best_and_asks_most_candidates_once() -> None:
    edges = {"a": 1.0, "b": 0.9, "c": 3.0, "d": 2.9, "e": 0.2, "f": 3.03}
    asked = dict.fromkeys(edges, 0)

    def can(name: str, rate: float) -> bool:
        asked[name] += 1
        return rate <= edges[name]

    assert best(edges, can, guess=2.0) == ["a", "c"]
    assert asked["b"] == asked["d"] == asked["e"] == 1


def test_every_promised_class_must_hold_and_the_others_must_get_their_tokens_done() -> None:
    classes = {"chat": CHAT, "other": CHAT, "batch": BATCH}
    chat_met, chat_missed = Answer("chat", 0.0, [0.1], True, 10), Answer("chat", 0.0, [0.5], True, 10)
    other_met = Answer("other", 0.0, [0.1], True, 10)
    done, undone = Answer("batch", 0.0, [5.0], True, 90), Answer("batch", 0.0, [], False, 10)

    def verdict(*answers: Answer) -> bool:
        return holds(report(answers, classes, 1.0))

    assert verdict(*[chat_met] * 19, chat_missed, done, undone)
    assert not verdict(*[chat_met] * 18, chat_missed, *[other_met] * 100, done)
    assert not verdict(*[chat_met] * 20, done, undone, undone)
