"""Events added up: each request's waits where they belong, every end counted once."""

from array import array

import pytest

from headway.core.types import (
    Accepted,
    Finished,
    Reason,
    Refusal,
    Refused,
    Request,
    Sampling,
    Shares,
    Stepped,
    Token,
)
from headway.metrics.histogram import Histogram
from headway.metrics.ledger import Ledger, Standing


def request(id: int = 1, choices: int = 1) -> Request:
    return Request(id, array("i", [1, 2, 3]), Sampling(), arrival_s=10.0, choices=choices)


def finished(id: int = 1, choice: int = 0, reason: Reason = Reason.STOP, tokens: int = 2) -> Finished:
    return Finished(
        id,
        choice,
        reason,
        12.0,
        3,
        0,
        tokens,
        Shares(queue=500_000_000, prefill=500_000_000, decode=1_000_000_000),
    )


def stepped(**fields: int) -> Stepped:
    numbers = dict.fromkeys(Stepped._fields, 0) | fields
    return Stepped(**{**numbers, "at_s": 11.0, "step_s": 0.5, "infeasible": ()})  # type: ignore[arg-type]


@pytest.fixture
def ledger() -> Ledger:
    ledger = Ledger()
    ledger.opened(request())
    ledger.add([Accepted(1, 10.1, "chat")])
    return ledger


def test_the_first_token_counts_from_the_arrival_and_the_next_from_the_one_before(ledger: Ledger) -> None:
    ledger.add([Token(1, 0, 5, 11.0), Token(1, 0, 6, 11.25)])
    latencies = ledger.latencies["chat"]
    assert (latencies.ttft.count, latencies.ttft.sum) == (1, 1.0)
    assert (latencies.itl.count, latencies.itl.sum) == (1, 0.25)


def test_an_end_books_the_shares_of_its_time(ledger: Ledger) -> None:
    ledger.add([Token(1, 0, 5, 11.0), Token(1, 0, 6, 12.0), finished()])
    latencies = ledger.latencies["chat"]
    sums = [h.sum for h in (latencies.queue, latencies.prefill, latencies.decode, latencies.e2e)]
    assert sums == [0.5, 0.5, 1.0, 2.0]
    assert latencies.tpot.sum == 1.0


def test_an_answer_ends_with_its_last_token_that_counts(ledger: Ledger) -> None:
    """A stop string is found where text is made; nobody waits for what is made until the engine hears."""
    tokens = [Token(1, 0, 5, at_s) for at_s in (11.0, 11.5, 12.0, 15.0)]
    ledger.add([*tokens, finished(tokens=3)])
    latencies = ledger.latencies["chat"]
    assert (latencies.e2e.sum, latencies.decode.sum, latencies.tpot.sum) == (2.0, 1.0, 0.5)


@pytest.mark.parametrize("reason", [Reason.CANCELLED, Reason.ERROR])
def test_what_is_cut_short_is_counted_and_has_no_latency(ledger: Ledger, reason: Reason) -> None:
    ledger.add([Token(1, 0, 5, 11.0), Token(1, 0, 6, 12.0), finished(reason=reason)])
    latencies = ledger.latencies["chat"]
    assert ledger.finished == {("chat", reason): 1}
    whole = (latencies.queue, latencies.prefill, latencies.decode, latencies.e2e, latencies.tpot)
    assert [histogram.count for histogram in whole] == [0] * 5


def test_one_token_has_no_time_per_output_token(ledger: Ledger) -> None:
    ledger.add([Token(1, 0, 5, 11.0), finished(tokens=1)])
    assert ledger.latencies["chat"].tpot.count == 0


def test_when_all_have_ended_as_many_are_finished_as_were_accepted() -> None:
    ledger = Ledger()
    ledger.opened(request(1, choices=2))
    ledger.opened(request(2))
    ended = finished(1, 0, tokens=1)
    ledger.add(
        [Accepted(1, 10.1, "chat"), Accepted(2, 10.1, "chat"), Token(1, 0, 5, 11.0), Token(1, 1, 5, 11.0)]
    )
    ledger.add([ended, finished(2, 0, Reason.CANCELLED)])
    assert ledger.running + ledger.waiting == 1
    ledger.add([finished(1, 1, Reason.LENGTH, tokens=1)])
    assert sum(ledger.finished.values()) == sum(ledger.accepted.values()) == 3
    assert not ledger.open


def test_a_refused_request_is_counted_and_forgotten() -> None:
    ledger = Ledger()
    ledger.opened(request())
    ledger.add([Refused(1, 10.1, Refusal.OVERLOADED, "full")])
    assert ledger.refused == {("chat", "overloaded"): 1}
    assert not ledger.open


def test_a_prompt_counts_once_for_all_its_choices() -> None:
    ledger = Ledger()
    ledger.opened(request(choices=2))
    ledger.add([Accepted(1, 10.1, "chat"), Token(1, 0, 5, 11.0), Token(1, 1, 5, 11.0)])
    assert (ledger.prompt_tokens, ledger.output_tokens) == (3, 2)


def test_tokens_behind_a_stop_string_are_waste(ledger: Ledger) -> None:
    ledger.add([Token(1, 0, 5, 11.0), Token(1, 0, 6, 11.5), Token(1, 0, 7, 12.0), finished(tokens=2)])
    assert ledger.wasted_tokens == 1


def test_what_runs_and_what_waits_are_all_that_is_open(ledger: Ledger) -> None:
    assert (ledger.running, ledger.waiting) == (0, 1)
    ledger.add([stepped(running=1)])
    assert (ledger.running, ledger.waiting) == (1, 0)
    ledger.add([finished(reason=Reason.CANCELLED, tokens=0)])
    assert (ledger.running, ledger.waiting) == (1, 0), "it runs until the engine says otherwise"
    ledger.stands(Standing(running=0, blocks_free=1, blocks_cached=0, blocks_used=0, slots_unused=0))
    assert (ledger.running, ledger.waiting) == (0, 0)


def test_frames_add_up(ledger: Ledger) -> None:
    ledger.add([stepped(tokens=4, preemptions=1, recomputed_tokens=9, prefix_query_tokens=20)] * 2)
    assert (ledger.preemptions, ledger.recomputed_tokens, ledger.prefix_query_tokens) == (2, 18, 40)
    assert (ledger.step_seconds.sum, ledger.step_tokens.sum) == (1.0, 8)


def test_the_oldest_wait_is_of_a_request_without_a_token(ledger: Ledger) -> None:
    assert ledger.oldest_wait_s(now=13.0) == 3.0
    ledger.add([Token(1, 0, 5, 11.0)])
    assert ledger.oldest_wait_s(now=13.0) == 0.0


def test_an_observation_belongs_to_the_first_bound_not_below_it() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.5):
        histogram.observe(value)
    assert histogram.cumulative() == [("1.0", 2.0), ("2.0", 3.0), ("+Inf", 4.0)]
