"""What is said of a candidate without a run, beside what runs say."""

import pytest

from headway.core.types import Batch, Slice
from headway.plan.bounds import estimate, impossible, prompt_alone_s
from headway.plan.demand import Demand
from headway.plan.search import find_capacity
from headway.plan.trials import Entrant
from tests.plan.made_up import candidate, question


def demand(promise: str, lengths: str) -> Demand:
    asked = question(promise, lengths)
    return Demand.of(asked.load(), asked.classes)


def why_not(promise: str, lengths: str) -> str | None:
    return impossible(candidate(), demand(promise, lengths), question(promise).classes)


def test_a_load_is_known_by_its_averages_and_its_longest() -> None:
    asks = demand("ttft=1s,itl=40ms", "1000:10").overall
    assert (asks.prompt, asks.output, asks.context) == (1000.0, 10.0, 1005.0)
    ranges = demand("ttft=1s,itl=40ms", "1-1000:10").overall
    assert ranges.prompt == pytest.approx(500, rel=0.05)
    assert ranges.long_prompt == pytest.approx(950, rel=0.02)


def test_what_no_request_could_be_given_alone_is_not_run() -> None:
    assert why_not("ttft=1s,itl=100ms", "1000:10") is None
    assert "bare decode step takes 1" in str(why_not("itl=3ms", "1000:10"))
    assert "a prompt of 8,000 tokens takes" in str(why_not("ttft=100ms", "8000:10"))
    assert "answer take" in str(why_not("ttft=none,itl=none,deadline=1s", "10:1000"))
    assert "KV memory holds" in str(why_not("ttft=9s", "2000000:10"))


def test_a_prompt_alone_takes_its_chunks() -> None:
    cost = candidate().deployment.cost()
    chunks = [Slice(0, 0, 512, False), Slice(0, 512, 488, True)]
    whole_s = sum(cost(Batch(0, (), (), (), (chunk,))) for chunk in chunks)
    assert prompt_alone_s(cost, 1000, 512) == pytest.approx(whole_s)


@pytest.mark.parametrize(
    ("promise", "lengths"), [("ttft=1s,itl=100ms", "500:20"), ("ttft=2s,itl=60ms", "100:50")]
)
def test_an_estimate_is_what_an_even_stream_would_have_and_a_run_holds_less(
    promise: str, lengths: str
) -> None:
    one = candidate()
    expected = estimate(one, demand(promise, lengths))
    held = find_capacity(question(promise, lengths), Entrant(one, expected), expected.rate, seed=1).rate
    assert 0.6 < held / expected.rate < 1.1


def test_memory_and_the_number_of_sequences_bound_an_estimate() -> None:
    loose = demand("ttft=5s", "200:200")
    few = candidate()
    fewer = type(few)(
        few.deployment, few.policy, type(few.limits)(4, 2048, 1000, 16, few.limits.blocks, 16_384)
    )
    assert estimate(fewer, loose).rate < 0.3 * estimate(few, loose).rate


def test_only_classes_that_occur_are_asked_for() -> None:
    assert demand("ttft=1s", "10:10").of_class.keys() == {"chat"}
