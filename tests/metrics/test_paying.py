"""Who pays when not all promises can be kept at the present rate: told once, and not on and off."""

import logging

import pytest

from headway.classes import read_classes
from headway.core.slo import Targets
from headway.metrics.paying import Paying
from headway.metrics.promises import Kept, Outcome, Verdict
from headway.metrics.telling import Teller

classes = read_classes("gold:ttft=200ms,weight=4")


class Minute:
    """Requests that ended at one moment, so many of them in time; then a look."""

    def __init__(self) -> None:
        self.paying = Paying()
        self.kept = {name: Kept() for name in classes}
        self.now_s = 0.0

    def after(
        self, infeasible: tuple[tuple[str, str], ...] = (), of: int = 100, **good: int
    ) -> tuple[str, ...]:
        """`of` so many requests of each class named."""
        self.now_s += 61.0
        for name, count in good.items():
            for i in range(of):
                verdict = Verdict((), (), is_good=i < count, counts=True, output_tokens=1)
                self.kept[name].add(verdict, Outcome(self.now_s, Targets()))
        self.paying.look(classes, self.kept, infeasible, self.now_s + 0.5)
        return self.paying.names


def test_who_keeps_less_than_its_share_pays_until_it_is_well_above() -> None:
    minute = Minute()
    assert minute.after(chat=96) == ()
    assert minute.after(chat=94) == ("chat",)
    assert minute.after(chat=96) == ("chat",), "between the two nothing changes"
    assert minute.after(chat=97) == ()
    assert minute.after(chat=96) == ()


def test_the_lightest_is_named_first_and_who_promises_nothing_never() -> None:
    assert Minute().after(gold=50, chat=50, batch=0) == ("chat", "gold")


def test_a_target_that_no_load_would_meet_is_another_matter() -> None:
    assert Minute().after((("chat", "itl"),), chat=0, gold=0) == ("gold",)


def test_when_nobody_asks_any_more_nobody_pays() -> None:
    minute = Minute()
    assert minute.after(chat=0) == ("chat",)
    assert minute.after() == ()


def test_few_good_ones_end_it_and_few_bad_ones_do_not_begin_it() -> None:
    minute = Minute()
    assert minute.after(of=19, chat=0) == ()
    assert minute.after(chat=0) == ("chat",)
    assert minute.after(of=19, chat=0) == ("chat",)
    assert minute.after(of=5, chat=5) == ()


def test_the_log_says_it_once_with_the_numbers(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "headway.slo")
    minute, teller = Minute(), Teller()
    for good in (50, 60, 99):
        names = minute.after(chat=good)
        teller.paying({name: minute.kept[name].of_late(minute.now_s) for name in names})
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "class chat pays, 50 of its last 100 requests kept it" in caplog.text
