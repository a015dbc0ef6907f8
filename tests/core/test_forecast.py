"""The forecast learns what steps take, follows the machine, and lets no single step lead it astray."""

from itertools import pairwise
from random import Random

import pytest

from headway.core.forecast import Forecast, Load, Profile

POINTS = ((0, 0.035), (1, 0.037), (16, 0.062), (64, 0.140), (256, 0.30), (4096, 4.2))


def machine(load: Load, times: float = 1.0) -> float:
    """Seconds on a machine that no profile here describes."""
    for (low, low_s), (high, high_s) in pairwise(POINTS):
        if load.tokens <= high:
            share = (load.tokens - low) / (high - low)
            linear_s = low_s + share * (high_s - low_s)
            return times * (linear_s + 1.1e-6 * load.context + 1.2e-7 * load.pairs + 2e-4 * load.sequences)
    raise AssertionError("no such step here")


def draw(random: Random) -> Load:
    load = Load()
    for _ in range(random.randint(1, 20)):
        load = load.and_slice(random.randint(50, 600), 1)
    if random.random() < 0.5:
        load = load.and_slice(random.randint(0, 800), random.choice([16, 64, 100, 256]))
    return load


def errors(forecast: Forecast, random: Random, steps: int, times: float = 1.0) -> list[float]:
    """|actual / forecast - 1| of each step, in which one of thirty is held up for long; sorted."""
    found = []
    for _ in range(steps):
        load = draw(random)
        actual_s = machine(load, times) * random.lognormvariate(0, 0.03)
        if random.random() < 1 / 30:
            actual_s *= random.uniform(2, 10)
        found.append(abs(actual_s / forecast.seconds(load) - 1))
        forecast.observe(load, actual_s)
    return sorted(found)


def median(sorted_values: list[float]) -> float:
    return sorted_values[len(sorted_values) // 2]


@pytest.mark.parametrize("times", [0.02, 1.0, 10.0])
def test_it_learns_a_machine_that_its_profile_does_not_know(times: float) -> None:
    forecast, random = Forecast(Profile()), Random(1)
    errors(forecast, random, 600, times)
    assert median(errors(forecast, random, 400, times)) < 0.06


def test_it_follows_a_machine_that_becomes_slower() -> None:
    forecast, random = Forecast(Profile()), Random(2)
    errors(forecast, random, 400)
    errors(forecast, random, 50, times=1.8)
    assert median(errors(forecast, random, 50, times=1.8)) < 0.10


def test_a_step_that_the_system_held_up_moves_nothing() -> None:
    forecast, random = Forecast(Profile()), Random(3)
    errors(forecast, random, 400)
    load = draw(random)
    before_s = forecast.seconds(load)
    forecast.observe(load, 100 * before_s)
    assert forecast.seconds(load) == pytest.approx(before_s, rel=0.05)


def test_steps_with_prompts_have_a_safety_factor_of_their_own() -> None:
    forecast, random = Forecast(Profile()), Random(4)
    decodes, prompts = Load(4, 4, 800, 0), Load(100, 4, 800, 5000)
    for _ in range(400):
        forecast.observe(decodes, machine(decodes))
        forecast.observe(prompts, machine(prompts) * random.choice([0.9, 1.0, 1.1]))
    assert forecast.safe_seconds(decodes) < 1.04 * machine(decodes)
    assert forecast.safe_seconds(prompts) > 1.05 * machine(prompts)


def test_as_many_tokens_as_surely_fit() -> None:
    forecast = Forecast(Profile(knots=(4,), base_s=0.01, token_s=(0.001, 0.001), pair_s=1e-12))
    bare = Load(2, 2, 100, 0)
    count = forecast.most_tokens(bare, 0, 500, within_s=0.2)
    assert forecast.safe_seconds(bare.and_slice(0, count)) <= 0.2
    assert forecast.safe_seconds(bare.and_slice(0, count + 1)) > 0.2
    assert forecast.most_tokens(bare, 0, 20, within_s=10.0) == 20
    assert forecast.most_tokens(bare, 0, 20, within_s=0.0) == 0


def test_how_many_tokens_fit_is_what_a_search_of_them_all_finds() -> None:
    random, forecast = Random(4), Forecast(Profile())
    for _ in range(200):
        load = draw(random)
        forecast.observe(load, machine(load))
        start, most = random.choice([0, 700]), random.choice([-3, 0, 1, 2, 3, 40, 512])
        within_s = machine(load) * random.choice([0.1, 0.9, 1.1, 2.0, 50.0])
        takes_s = [forecast.safe_seconds(load.and_slice(start, n)) for n in range(1, most + 1)]
        fit = [n for n, seconds in enumerate(takes_s, 1) if seconds <= within_s]
        assert forecast.most_tokens(load, start, most, within_s) == max(fit, default=0)
