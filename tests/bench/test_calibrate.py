"""Measuring: a formula that is known is found again, and what was disturbed is measured once more."""

from itertools import count

import numpy as np
import pytest

from headway.bench.calibrate import Measured, measure
from headway.bench.fit import errors, fit_cost, fit_forecast, fit_line, nonnegative
from headway.bench.grid import Room, grid
from headway.core.forecast import Forecast, Load
from headway.profile.cost import Factors, cost_of
from headway.profile.file import slices_of
from tests.bench.exact_machine import ExactMachine
from tests.profile.made_up import FACTORS

room = Room(tokens=35_000, longest=8192)


def measured(machine: ExactMachine, seconds: float = 60.0) -> Measured:
    visit = machine.driver().visit
    return measure(grid(room), visit, seconds, machine.world, told=lambda share: None)


def assert_near(found: Factors, known: Factors) -> None:
    for ours, theirs in zip(found, known, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-6)


def test_a_known_formula_is_found_again_factor_by_factor() -> None:
    steps = measured(ExactMachine(FACTORS)).steps
    factors = fit_cost(steps)
    assert_near(factors, FACTORS)
    assert all(each.p95 < 1e-6 for each in errors(steps, cost_of(factors)))
    assert {each.kind for each in errors(steps, cost_of(factors))} == {"decode", "prefill", "mixed", "all"}


def test_terms_that_cost_nothing_are_found_to() -> None:
    known = FACTORS._replace(chunk_s=0.0, chunk_context_s=0.0)
    assert_near(fit_cost(measured(ExactMachine(known)).steps), known)


def test_the_forecast_s_few_terms_come_near_and_all_may_be_learned() -> None:
    steps = measured(ExactMachine(FACTORS)).steps
    profile = fit_forecast(steps).as_profile()
    forecast = Forecast(profile)
    off = []
    for step in steps:
        load = Load()
        for slice in slices_of(step.groups):
            load = load.and_slice(slice.start, slice.count)
        if load.tokens <= 512:
            off.append(abs(forecast.seconds(load) / step.seconds - 1))
    assert float(np.median(off)) < 0.05


@pytest.mark.parametrize("seen", [True, False])
def test_what_was_disturbed_is_measured_again(seen: bool) -> None:
    """Told by what others had of the cores; where that is not known, by the lightest decode alone."""
    machine = ExactMachine(FACTORS, disturbed=(20.0, 35.0, 1.8), seen=seen)
    found = measured(machine)
    assert 0.1 < found.disturbed < 0.5
    assert_near(fit_cost(found.steps), FACTORS)
    assert max(found.noise) < 1.01


def test_a_machine_that_is_never_quiet_is_measured_all_the_same_and_no_longer_than_half_as_long() -> None:
    found = measured(ExactMachine(FACTORS, disturbed=(0.0, 1e9, 1.0)))
    assert found.disturbed > 0.95  # what takes less than two hundredths of a second, nobody can tell
    assert 60.0 < found.took_s < 100.0
    assert len(found.noise) > 10
    assert errors(found.steps, cost_of(fit_cost(found.steps)))[-1].p95 < 1e-3


def test_time_is_kept_and_what_would_take_too_long_is_left_out() -> None:
    slow = Factors(
        *(tuple(20 * s for s in part) if isinstance(part, tuple) else 20 * part for part in FACTORS)
    )
    found = measured(ExactMachine(slow), seconds=60.0)
    assert found.left_out > 5
    quick = measured(ExactMachine(FACTORS), seconds=60.0)
    assert quick.left_out == 0
    assert 58.0 < quick.took_s < 68.0


def test_progress_rises_to_the_whole() -> None:
    machine, heard = ExactMachine(FACTORS), list[float]()
    measure(grid(room), machine.driver().visit, 20.0, machine.world, heard.append)
    assert heard == sorted(heard)
    assert heard[-1] == 1.0


def test_least_squares_without_negatives() -> None:
    matrix = np.array([[1.0, 2.0, 0.5], [1.0, 1.0, 4.0], [1.0, 3.0, 1.0], [1.0, 5.0, 2.0]])
    exact = np.array([0.5, 0.0, 2.0])
    assert nonnegative(matrix, matrix @ exact) == pytest.approx(exact, abs=1e-9)
    pulled_below = nonnegative(matrix, matrix @ np.array([1.0, -0.5, 1.0]))
    assert pulled_below.min() >= 0.0
    assert pulled_below[1] == 0.0


def test_no_neighbour_without_negatives_is_nearer() -> None:
    random = np.random.default_rng(3)
    for _ in range(20):
        matrix, goal = random.normal(size=(12, 5)), random.normal(size=12)
        x = nonnegative(matrix, goal)
        least = np.linalg.norm(matrix @ x - goal)
        for _, nudge in zip(range(50), (random.normal(size=5) * 1e-3 for _ in count()), strict=False):
            assert np.linalg.norm(matrix @ np.maximum(x + nudge, 0) - goal) >= least - 1e-12


def test_the_host_s_share_is_told_apart() -> None:
    assert fit_line([(1, 1.01e-3), (8, 1.08e-3), (32, 1.32e-3)]) == pytest.approx((1e-3, 1e-5))
