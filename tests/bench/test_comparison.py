"""How near a simulation is to what was measured, figure by figure."""

import pytest

from headway.bench.comparison import Row, capacity_row, rows, shown, values
from headway.bench.report import Answer
from headway.core.slo import BATCH, CHAT


def row(real: tuple[float, ...], simulated: tuple[float, ...], *, relative: bool = True) -> Row:
    return Row("TPOT p50", 0.5, real, simulated, 0.10, relative)


def test_medians_are_compared_and_a_tenth_is_near_enough() -> None:
    assert row((1.0, 1.0, 1.0), (1.1, 1.09, 1.2)).within
    assert not row((1.0, 1.0, 1.0), (1.12, 1.11, 1.0)).within
    assert not row((1.0,), (0.89,)).within
    assert row((1.0,), (0.89,)).ratio == pytest.approx(0.89)


def test_where_the_real_runs_differ_twice_their_spread_is_near_enough() -> None:
    assert row((1.0, 0.9, 1.1), (1.4, 1.4, 1.4)).within
    assert not row((1.0, 0.9, 1.1), (1.41, 1.41, 1.41)).within


def test_points_are_not_relative() -> None:
    assert row((0.5,), (0.6,), relative=False).within
    assert not row((0.5,), (0.61,), relative=False).within


def test_nothing_real_has_no_ratio() -> None:
    none = row((0.0,), (0.0,))
    assert (none.ratio, none.within) == (None, True)
    assert shown(none)[5:] == ("-", "yes")


def answer(name: str, first_s: float, tokens: int, *, complete: bool = True) -> Answer:
    return Answer(name, 1.0, [1.0 + first_s + 0.05 * n for n in range(tokens)], complete, 10 + tokens)


def test_a_run_s_values_are_latencies_of_all_and_what_was_promised_by_class() -> None:
    answers = [answer("chat", 0.1, 11), answer("chat", 0.9, 11), answer("batch", 0.5, 21)]
    found = values(answers, {"chat": CHAT, "batch": BATCH})
    assert found == pytest.approx(
        {
            "TTFT p50": 0.5, "TTFT p95": 0.9, "TPOT p50": 0.05, "TPOT p95": 0.05, "E2E p50": 1.4,
            "E2E p95": 1.5, "attainment chat": 0.5,
        }
    )  # fmt: skip


def test_each_figure_has_the_issue_s_tolerance_and_what_a_run_lacks_is_left_out() -> None:
    classes = {"chat": CHAT}
    whole = values([answer("chat", 0.1, 11)], classes)
    lacking = values([answer("chat", 0.1, 1, complete=False)], classes)
    found = {each.name: each for each in rows(0.8, [whole, whole], [whole])}
    assert {name: each.tolerance for name, each in found.items()} == {
        "TTFT p50": 0.15, "TTFT p95": 0.15, "TPOT p50": 0.1, "TPOT p95": 0.1, "E2E p50": 0.1,
        "E2E p95": 0.1, "attainment chat": 0.05,
    }  # fmt: skip
    assert [name for name, each in found.items() if not each.relative] == ["attainment chat"]
    assert all(each.within and each.real == each.simulated * 2 for each in found.values())
    assert [each.name for each in rows(0.8, [whole, lacking], [whole])] == [
        "TTFT p50", "TTFT p95", "attainment chat",
    ]  # fmt: skip


def test_a_row_is_shown_in_units_that_people_read() -> None:
    latency = Row("TTFT p95", 0.8, (1.2, 1.0, 1.1), (1.21,), 0.15, True)
    assert shown(latency) == ("TTFT p95", "0.8", "1,100", "1,000 - 1,200", "1,210", "1.10", "yes")
    share = Row("attainment chat", 0.8, (0.95,), (0.8,), 0.05, False)
    assert shown(share)[2:] == ("95.0%", "", "80.0%", "0.84", "NO")
    assert shown(row((0.0312,), (0.03,)))[2:5] == ("31.2", "", "30.0")
    assert shown(capacity_row(2.0, 2.1)) == ("capacity", "", "2.00/s", "", "2.10/s", "1.05", "yes")
    assert latency.as_json()["real_median"] == 1.1
