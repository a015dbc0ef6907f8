"""Promises kept and missed: one verdict a request, counted for the class that was asked for."""

import logging
from array import array

import pytest

from headway.classes import read_classes
from headway.core.slo import Targets
from headway.core.types import (
    Accepted,
    Event,
    Finished,
    Reason,
    Refusal,
    Refused,
    Request,
    Retuned,
    Sampling,
    Shares,
    Stepped,
    Token,
)
from headway.metrics.ledger import Ledger
from headway.metrics.promises import Kept, Outcome, Share, p95_gap_s
from tests.metrics.test_export import samples, scrape

classes = read_classes("gold:ttft=1s,itl=100ms,deadline=3s")
as_promised = Targets()
spent = Shares(queue=2_000_000_000, prefill=500_000_000)


def run(ledger: Ledger, *stamps: float, reason: Reason = Reason.STOP, id: int = 1, choice: int = 0) -> None:
    end_s = stamps[-1] if stamps else 12.5
    tokens: list[Event] = [Token(id, choice, 5, at_s) for at_s in stamps]
    ledger.add([*tokens, Finished(id, choice, reason, end_s, 3, 0, len(stamps), spent)])


def opened(
    name: str = "gold", choices: int = 1, own: Targets = as_promised, served: str = "", id: int = 1
) -> Ledger:
    ledger = Ledger(classes)
    request = Request(id, array("i", [1, 2, 3]), Sampling(), 10.0, choices, name, own)
    ledger.opened(request)
    ledger.add([Accepted(id, 10.0, served or name)])
    return ledger


def told(ledger: Ledger, name: str = "gold") -> tuple[dict[str, int], dict[str, int]]:
    return dict(ledger.kept[name].attained), dict(ledger.kept[name].violated)


everything = {"ttft": 1, "itl": 1, "e2e": 1}


def test_a_request_in_time_attains_every_target_and_is_goodput() -> None:
    ledger = opened()
    run(ledger, 10.5, 10.6, 10.7)
    assert told(ledger) == (everything, {})
    kept = ledger.kept["gold"]
    assert (kept.since_start, kept.good_tokens) == (Share(1, 1), 3)


@pytest.mark.parametrize(
    ("stamps", "missed"),
    [
        ((11.5, 11.6), {"ttft"}),
        ((10.5, 10.7), {"itl"}),
        ((10.5, *(10.6 + 0.1 * i for i in range(30))), {"e2e"}),
        ((13.5, 14.0), {"ttft", "itl", "e2e"}),
    ],
)
def test_each_target_is_judged_by_itself(stamps: tuple[float, ...], missed: set[str]) -> None:
    ledger = opened(own=Targets(itl_s=0.101 if "itl" not in missed else None))
    run(ledger, *stamps)
    attained, violated = told(ledger)
    assert set(violated) == missed
    assert set(attained) == set(everything) - missed
    assert ledger.kept["gold"].since_start == Share(1, 0)


def test_of_the_gaps_the_95th_of_a_hundred_counts() -> None:
    stamps = [0.0]
    for i in range(100):
        stamps.append(stamps[-1] + (9.0 if i < 5 else 1.0))
    assert p95_gap_s(stamps) == 1.0
    assert p95_gap_s([*stamps, stamps[-1] + 9.0]) == 9.0
    assert p95_gap_s([1.0]) == 0.0


@pytest.mark.parametrize(("own_s", "missed"), [(2.0, {}), (0.4, {"ttft": 1})])
def test_a_requests_own_targets_stand_in_place_of_its_classs(own_s: float, missed: dict[str, int]) -> None:
    ledger = opened(own=Targets(ttft_s=own_s))
    run(ledger, 10.5 if missed else 11.5)
    assert told(ledger)[1] == missed


def test_a_live_change_leaves_whoever_is_here_what_was_promised_on_arrival() -> None:
    ledger = opened()
    ledger.retune(read_classes("gold:ttft=100ms"))
    ledger.opened(Request(2, array("i", [1]), Sampling(), 10.0, service_class="gold"))
    for id in (1, 2):
        run(ledger, 10.5, id=id)
    assert told(ledger) == ({"ttft": 1, "itl": 1, "e2e": 1}, {"ttft": 1})


def test_who_comes_with_a_class_that_is_no_more_was_promised_what_it_last_was() -> None:
    ledger = Ledger(classes)
    ledger.retune(read_classes("silver:itl=1s"))
    ledger.opened(Request(1, array("i", [1]), Sampling(), 10.0, service_class="gold"))
    ledger.add([Accepted(1, 10.0, "gold"), Retuned(1, 10.0)])
    run(ledger, 11.5)
    assert told(ledger)[1] == {"ttft": 1}
    assert list(ledger.classes) == ["chat", "interactive", "batch", "silver"]


def test_what_is_open_is_seen_as_if_its_client_left_now() -> None:
    ledger = opened()
    ledger.opened(Request(2, array("i", [1]), Sampling(), 10.0, service_class="gold"))
    ledger.add([Token(2, 0, 5, at_s) for at_s in (10.5, 10.75)])
    found = ledger.so_far(11.5)
    targets = classes["gold"].targets
    assert [outcome.verdict(targets).counts for outcome in found["gold"]] == [True, True]
    assert [[m.slo for m in o.verdict(targets).missed] for o in found["gold"]] == [["ttft"], ["itl"]]
    assert not any(outcome.verdict(as_promised).counts for outcome in found["gold"])


@pytest.mark.parametrize("reason", [Reason.ERROR, Reason.EXPIRED])
def test_what_fails_or_expires_misses_every_target(reason: Reason) -> None:
    ledger = opened()
    run(ledger, 10.1, reason=reason)
    assert told(ledger) == ({}, everything)


@pytest.mark.parametrize("reason", [Refusal.OVERLOADED, Refusal.TOO_LATE, Refusal.CLOSING])
def test_what_is_refused_misses_every_target(reason: Refusal) -> None:
    ledger = opened()
    ledger.add([Refused(1, 10.1, reason, "no")])
    assert told(ledger) == ({}, everything)


def test_what_could_never_run_was_promised_nothing() -> None:
    ledger = opened()
    ledger.add([Refused(1, 10.1, Refusal.TOO_LONG, "no")])
    assert (told(ledger), ledger.kept["gold"].requests) == (({}, {}), 0)


def test_who_leaves_counts_only_where_it_had_waited_too_long() -> None:
    ledger = opened()
    run(ledger, 10.5, reason=Reason.CANCELLED)
    assert (told(ledger), ledger.kept["gold"].requests) == (({}, {}), 0)
    ledger = opened()
    run(ledger, reason=Reason.CANCELLED)
    assert told(ledger) == ({}, {"ttft": 1})


def test_of_several_choices_the_slowest_counts_and_the_request_counts_once() -> None:
    ledger = opened(choices=2)
    run(ledger, 10.5, choice=0)
    run(ledger, 11.5, choice=1)
    assert told(ledger) == ({"itl": 1, "e2e": 1}, {"ttft": 1})
    assert ledger.kept["gold"].since_start == Share(1, 0)


def test_a_downgraded_request_counts_for_the_class_it_asked_for() -> None:
    ledger = opened(served="batch")
    run(ledger, 14.0)
    assert told(ledger)[1] == {"ttft": 1, "e2e": 1}
    assert told(ledger, "batch") == ({}, {})


def test_a_class_without_targets_has_goodput_when_it_is_complete() -> None:
    ledger = opened("batch")
    run(ledger, 99.0)
    assert (told(ledger, "batch"), ledger.kept["batch"].good) == (({}, {}), 1)


def test_of_late_is_the_last_minute() -> None:
    kept = Kept()
    for at_s in (0.0, 30.0, 30.5, 70.0):
        good = Outcome(at_s, as_promised)
        kept.add(good.verdict(as_promised), good)
    assert (kept.of_late(70.0), kept.of_late(200.0), kept.since_start) == (
        Share(3, 3),
        Share(0, 0),
        Share(4, 4),
    )
    assert kept.of_late(200.0).attainment is None


# ---- what the log says


def test_a_miss_names_where_most_of_the_time_went_once_a_second(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "headway.slo")
    ledger = opened()
    for id, first_s in ((1, 12.5), (2, 12.75), (3, 13.75)):
        ledger.opened(Request(id, array("i", [1]), Sampling(), 10.0, service_class="gold"))
        run(ledger, first_s, id=id)
    said = [record.getMessage() for record in caplog.records]
    assert said[0] == (
        "request 1 of class gold missed ttft (1,000 ms promised, 2,500 ms taken): "
        "2,000 ms of 2,500 ms went into waiting in the queue"
    )
    assert len(said) == 2
    assert said[1].endswith("; 1 more of that class missed since the last such line")


def test_what_is_infeasible_is_said_once_and_again_when_it_is_not(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "headway.slo")
    ledger = Ledger(classes)
    for pairs in ((), (("gold", "itl"),), (("gold", "itl"),), ()):
        ledger.add([stepped(pairs)])
    said = [record.getMessage() for record in caplog.records]
    assert [("cannot be kept" in line, "can be kept again" in line) for line in said] == [
        (True, False),
        (False, True),
    ]


def stepped(infeasible: tuple[tuple[str, str], ...]) -> Stepped:
    numbers = dict.fromkeys(Stepped._fields, 0) | {"forecast_error": 0.25, "infeasible": infeasible}
    return Stepped(**numbers)  # type: ignore[arg-type]


# ---- what /metrics shows


def test_metrics_show_every_class_with_its_targets_from_the_start() -> None:
    found = samples(scrape(Ledger(classes)))
    pairs = {(labels["class"], labels["slo"]) for labels, _ in found["headway:slo_attained_total"]}
    assert pairs == {
        *(("gold", slo) for slo in everything),
        *(("chat", slo) for slo in ("ttft", "itl")),
        *(("interactive", slo) for slo in ("ttft", "e2e")),
    }
    assert {labels["class"] for labels, _ in found["headway:goodput_requests_total"]} == set(classes)


def test_counts_of_a_class_that_is_no_more_stay() -> None:
    ledger = opened()
    run(ledger, 11.5)
    ledger.retune(read_classes("silver:ttft=1s"))
    found = samples(scrape(ledger))
    assert ({"class": "gold", "slo": "ttft"}, 1.0) in found["headway:slo_violated_total"]
    assert ({"class": "gold"}, 0.0) in found["headway:goodput_requests_total"]
    assert ({"class": "silver", "slo": "ttft"}, 0.0) in found["headway:slo_violated_total"]
    ledger.add([stepped(())])
    assert "gold" not in {labels["class"] for labels, _ in samples(scrape(ledger))["headway:infeasible"]}


def test_metrics_show_verdicts_shares_and_what_is_infeasible() -> None:
    ledger = opened()
    run(ledger, 11.5, 11.6)
    ledger.add([stepped((("gold", "itl"),))])
    found = samples(scrape(ledger))
    assert ({"class": "gold", "slo": "ttft"}, 1.0) in found["headway:slo_violated_total"]
    assert ({"class": "gold", "share": "queue"}, 2.0) in found["headway:time_share_seconds_sum"]
    assert ({"class": "gold", "target": "itl"}, 1.0) in found["headway:infeasible"]
    assert ({"class": "chat", "target": "itl"}, 0.0) in found["headway:infeasible"]
    assert found["headway:forecast_error_ratio"] == [({}, 0.25)]


def test_metrics_show_how_far_steps_were_off_their_forecasts() -> None:
    """As a step's time over its forecast; a step without a forecast says nothing."""
    ledger = Ledger(classes)
    for step_s, forecast_s in ((0.104, 0.1), (0.085, 0.1), (0.1, 0.0)):
        ledger.add([stepped(())._replace(step_s=step_s, forecast_s=forecast_s)])
    found = samples(scrape(ledger))
    up_to = {float(labels["le"]): count for labels, count in found["headway:forecast_ratio_bucket"]}
    assert {up_to[0.8], up_to[0.85], up_to[0.93], up_to[1.03], up_to[1.05]} == {0.0, 1.0, 2.0}
    assert (up_to[1.05] - up_to[0.95], up_to[1.2] - up_to[0.8]) == (1.0, 2.0)
    assert found["headway:forecast_ratio_count"] == [({}, 2.0)]
