"""A measured run in numbers: rates, latencies, what failed, and how well the client kept up."""

import pytest

from headway.bench.client import Exchange
from headway.bench.load import Played
from headway.bench.run_figures import figures
from headway.bench.wire import Asked
from headway.core.slo import BUILT_IN


def answered(at_s: float, *stamps: float, late_s: float = 0.0, **more: object) -> Exchange:
    exchange = Exchange(Asked(at_s, "batch", [1, 2], len(stamps)), at_s + late_s, at_s + late_s + 0.125)
    exchange.status, exchange.complete, exchange.ended_s = 200, True, stamps[-1]
    exchange.stamps, exchange.chunks_s = list(stamps), sorted(set(stamps))
    for name, value in more.items():
        setattr(exchange, name, value)
    return exchange


def failed(at_s: float, status: int | None, error: str = "") -> Exchange:
    exchange = Exchange(Asked(at_s, "batch", [1], 5), at_s, status=status, error=error)
    exchange.ended_s = at_s + 1.0
    return exchange


def numbers(*exchanges: Exchange, lag_p99_s: float = 0.001) -> dict[str, object]:
    return figures(Played(list(exchanges), lag_p99_s, 0.1, 50.0), BUILT_IN)


def test_rates_are_over_the_time_until_the_last_answer() -> None:
    found = numbers(answered(0.0, 1.0, 2.0), answered(4.0, 5.0, 10.0), answered(8.0, 9.0))
    assert (found["duration_s"], found["requests_per_s"], found["output_tok_s"]) == (10.0, 0.3, 0.5)
    assert (found["requested_rate"], found["achieved_rate"]) == (0.25, 0.25)
    assert found["input_tokens"] == 6


def test_latency_counts_from_the_moment_that_was_meant() -> None:
    found = numbers(answered(0.0, 1.0), answered(1.0, 4.0, late_s=2.0))
    assert found["ttft_s"]["p99"] == 3.0
    assert found["client"]["dispatched_late_s"]["p99"] == 2.0
    assert found["client"]["connecting_s"]["p50"] == 0.125


def test_gaps_between_events_stand_beside_gaps_between_tokens() -> None:
    found = numbers(answered(0.0, 1.0, 1.0, 2.0, 2.0))
    assert found["itl_s"]["count"] == 3
    assert (found["chunk_gap_s"]["count"], found["chunk_gap_s"]["p50"]) == (1, 1.0)


def test_failed_requests_are_counted_by_what_went_wrong() -> None:
    exchanges = [answered(0.0, 1.0), failed(1.0, 429, "full"), failed(2.0, 429, "full"), failed(3.0, None)]
    found = numbers(*exchanges)
    assert (found["successful"], found["failed"]) == (1, 3)
    assert found["errors"] == {"429: full": 2, "cut off at the end of the run": 1}
    assert found["classes"]["batch"]["attainment"] == 0.25


def test_counts_that_do_not_agree_are_told() -> None:
    told = answered(0.0, 1.0, 2.0, output_tokens=3)
    assert numbers(told, answered(1.0, 2.0, output_tokens=1))["tokens_told_otherwise"] == 1
    assert numbers(answered(0.0, 1.0, 2.0, guessed=1))["tokens_without_a_time"] == 1


@pytest.mark.parametrize(("lag_p99_s", "valid"), [(0.019, True), (0.021, False)])
def test_a_late_client_makes_no_valid_run(lag_p99_s: float, valid: bool) -> None:
    assert numbers(answered(0.0, 1.0), lag_p99_s=lag_p99_s)["client"]["valid"] is valid
