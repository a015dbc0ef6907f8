"""The words of docs/definitions.md on stamps small enough to work out by hand."""

import numpy as np
import pytest

from headway.bench.report import Answer, meets, percentile, report
from headway.core.slo import BATCH, CHAT, INTERACTIVE, Targets

classes = {"chat": CHAT, "interactive": INTERACTIVE, "batch": BATCH}  # 0.3 s and 0.1 s; 0.5 s and 2 s; none


def chat(stamps: list[float], *, complete: bool = True) -> Answer:
    return Answer("chat", 10.0, stamps, complete, 100)


def test_a_class_s_line_by_hand() -> None:
    met, late, refused = chat([10.2, 10.25, 10.35]), chat([10.4, 10.5]), chat([], complete=False)
    unfinished = chat([10.1, 10.15], complete=False)
    line = report([met, late, refused, unfinished], classes, 2.0).classes["chat"]
    assert (line.requests, line.incomplete, line.met, line.met_output_tokens) == (4, 2, 1, 3)
    assert line.attainment == 0.25
    assert (line.tokens, line.complete_tokens, line.completion) == (400, 200, 0.5)
    assert line.ttft is not None
    assert (line.ttft.p50, line.ttft.p95, line.ttft.count) == pytest.approx((0.2, 0.4, 3))
    assert line.itl is not None
    assert (line.itl.p50, line.itl.p99, line.itl.count) == pytest.approx((0.05, 0.1, 4))
    assert line.tpot is not None
    assert (line.tpot.p50, line.tpot.p99, line.tpot.count) == pytest.approx((0.075, 0.1, 2))
    assert line.e2e is not None
    assert (line.e2e.p50, line.e2e.p99) == pytest.approx((0.35, 0.5))


def test_an_answer_of_one_token_has_no_gap_and_no_tpot_and_can_meet_its_targets() -> None:
    line = report([chat([10.2])], classes, 1.0).classes["chat"]
    assert line.met == 1
    assert line.itl is None
    assert line.tpot is None


def test_a_class_of_which_nobody_got_a_token_has_no_percentiles() -> None:
    line = report([chat([], complete=False)], classes, 1.0).classes["chat"]
    assert (line.attainment, line.ttft, line.itl, line.tpot, line.e2e) == (0.0, None, None, None, None)


def test_five_gaps_in_a_hundred_may_be_too_long() -> None:
    targets = Targets(itl_s=0.1)

    def answer(long: int, gaps: int) -> Answer:
        stamps = np.cumsum([0.0] + [0.05] * (gaps - long) + [5.0] * long).tolist()
        return Answer("chat", 0.0, stamps, True, 1)

    assert meets(answer(5, 100), targets)
    assert not meets(answer(6, 100), targets)
    assert not meets(answer(1, 19), targets), "of 19 gaps one is more than 5 %"
    assert meets(answer(1, 20), targets)


@pytest.mark.parametrize(
    ("stamps", "met"), [([0.5, 2.0], True), ([0.51, 1.0], False), ([0.1, 2.01], False), ([0.1, 0.2], True)]
)
def test_a_target_that_is_just_reached_is_met(stamps: list[float], met: bool) -> None:
    assert meets(Answer("interactive", 0.0, stamps, True, 1), INTERACTIVE.targets) == met


def test_without_targets_whatever_is_complete_is_met() -> None:
    assert meets(Answer("batch", 0.0, [500.0, 900.0], True, 1), BATCH.targets)
    assert not meets(Answer("batch", 0.0, [500.0, 900.0], False, 1), BATCH.targets)


def test_a_run_counts_all_classes_and_is_judged_by_the_worst() -> None:
    answers = [
        *[chat([10.1, 10.2])] * 9,
        chat([11.0]),
        *[Answer("interactive", 0.0, [0.1, 1.0], True, 5)] * 10,
        Answer("batch", 0.0, [9.0], True, 30),
        Answer("batch", 0.0, [9.0], False, 10),
    ]
    run = report(answers, classes, 10.0)
    assert list(run.classes) == ["chat", "interactive", "batch"]
    assert run.goodput == pytest.approx((9 + 10 + 1) / 10)
    assert run.goodput_tok_s == pytest.approx((18 + 20 + 1) / 10)
    assert (run.attainment, run.completion) == (0.9, 0.75)
    assert not run.classes["batch"].promised
    assert report([], classes, 1.0).attainment == 1.0


def test_percentiles_are_nearest_ranks() -> None:
    values = np.array([5.0, 1.0, 4.0, 2.0, 3.0])
    assert [percentile(values, p) for p in (1, 20, 21, 50, 80, 81, 99)] == [1, 1, 2, 3, 4, 5, 5]
    assert percentile(np.array([7.0]), 95) == 7.0
