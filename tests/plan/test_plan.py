"""A plan's answers where they are known, and that they do not depend on where they are found."""

from dataclasses import replace

import pytest

from headway.plan import words
from headway.plan.figures import figures
from headway.plan.question import Question
from headway.sim.devices import device
from tests.plan.made_up import A100, MISTRAL, candidate, planned, question


def test_the_same_device_at_half_the_price_costs_half_as_much() -> None:
    cheap = replace(A100, name="cheap", dollars_per_hour=A100.dollars_per_hour / 2)
    first, second = planned(question(), A100, cheap).choices
    assert (first.device, second.device) == ("cheap", "A100-80")
    assert first.capacity == second.capacity
    assert second.per_thousand_good == pytest.approx(2 * first.per_thousand_good)
    assert second.per_million_tokens == pytest.approx(2 * first.per_million_tokens)


def test_a_device_twice_as_quick_at_twice_the_price_costs_about_the_same() -> None:
    """Long prompts: work for the device alone, hardly any for the host, whose time is the same on both. Each
    capacity is known to 5 %.
    """
    quick = replace(
        A100,
        name="quick",
        flop_s=2 * A100.flop_s,
        bytes_s=2 * A100.bytes_s,
        dollars_per_hour=2 * A100.dollars_per_hour,
    )
    costs = {c.device: c for c in planned(question("ttft=4s", "4000:2"), A100, quick).choices}
    assert costs["quick"].capacity == pytest.approx(2 * costs["A100-80"].capacity, rel=0.15)
    assert costs["quick"].per_thousand_good == pytest.approx(costs["A100-80"].per_thousand_good, rel=0.15)


def test_a_device_that_cannot_hold_the_model_is_named_with_the_numbers_and_the_others_are_planned() -> None:
    made = planned(question(), replace(A100, name="small", memory_bytes=12e9), A100)
    assert [choice.device for choice in made.choices] == ["A100-80"]
    (refused,) = made.refused
    assert refused.device == "small"
    assert "14.5 GB of weights" in refused.why
    assert "10.8 GB of 12.0 GB to use" in refused.why


def test_nothing_is_recommended_where_no_promise_can_be_kept() -> None:
    asked = question("itl=2ms")
    made = planned(asked, A100)
    assert made.choices == ()
    assert "a bare decode step takes" in made.refused[0].why
    assert "promised 2 ms between tokens" in made.refused[0].why
    assert words.recommendation(made, asked).startswith("None of these keeps the promise")


@pytest.mark.slow
def test_the_figures_are_the_same_in_one_process_and_in_two() -> None:
    asked = question(lengths="300:4")
    alone, spread = (
        figures(planned(asked, A100, device("H100"), processes=n, tp=(1, 2)), asked) for n in (1, 2)
    )
    assert alone == spread


def test_several_seeds_give_an_interval_around_their_mean() -> None:
    (choice,) = planned(question(lengths="300:4", seeds=(1, 2, 3)), A100).choices
    assert choice.interval is not None
    low, high = choice.interval
    assert low <= choice.capacity <= high
    assert len({seed.rate for seed in choice.seeds}) > 1


def test_so_many_replicas_are_taken_as_hold_the_wanted_rate_on_every_seed() -> None:
    asked = question(lengths="300:4", seeds=(1, 2), rate=1000.0)
    made = planned(asked, A100)
    (choice,) = made.choices
    least = min(seed.rate for seed in choice.seeds)
    assert (choice.replicas - 1) * least < 1000.0 <= choice.replicas * least
    assert choice.dollars_per_hour == choice.replicas * 1.8
    assert choice.per_million_tokens == pytest.approx(1e6 * choice.dollars_per_hour / 3600 / (1000.0 * 4))
    assert f"Take {choice.replicas} x 1 x A100-80" in words.recommendation(made, asked)


def bills(rate: float | None) -> Question:
    return question(rate=rate)


def test_a_replica_is_paid_for_whole() -> None:
    one = candidate()
    assert bills(None).bill(one, 4.0) == pytest.approx(1.8 / 4)
    assert bills(10.0).bill(one, 4.0) == pytest.approx(3 * 1.8 / 10)
    assert bills(None).rate_for(one, 1.8 / 4) == pytest.approx(4.0)
    assert bills(10.0).rate_for(one, 3 * 1.8 / 10 + 1e-9) == pytest.approx(10 / 3), "three replicas share it"
    assert bills(10.0).rate_for(one, 1.7 / 10) is None, "one already costs more"


def test_more_gpus_than_are_needed_are_not_taken() -> None:
    made = planned(question(), A100, tp=(1, 8))
    assert made.choices[0].candidate.deployment.tp == 1
    assert [each.name.split(",")[0] for each in made.refused] == ["TP 8"]


def test_tensor_parallelism_is_advised_on_a_quick_link_and_a_pipeline_on_a_slow_one() -> None:
    slow = replace(A100, name="slow link", nvlink_bytes_s=None, pcie_bytes_s=2e9)
    on = {choice.device: choice for choice in planned(question(), A100, slow, tp=(1, 2), pp=(1, 2)).choices}
    assert "TP 2 has more room" in words.against(on["A100-80"])
    assert "PP 2 has more room" in words.against(on["slow link"])
    shares = {name: choice.layouts[0].spent.communication for name, choice in on.items()}
    assert shares["slow link"] > 0.5 > shares["A100-80"]


def test_the_model_s_own_dimensions_decide_which_device_is_enough() -> None:
    made = planned(question(), A100, of=replace(MISTRAL, layers=320, name="ten times"))
    assert made.choices == ()
    assert "ten times does not fit on A100-80" in made.refused[0].why
