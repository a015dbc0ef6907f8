"""The simulator on a machine that was calibrated."""

import pytest

from headway.core.types import Batch, Slice
from headway.profile.cost import cost_of
from headway.sim.profile_cost import profile_cost
from tests.profile.made_up import FACTORS, made_up

batch = Batch(0, (), (), (), (Slice(0, 63, 1, True), Slice(1, 0, 30, True)))
alone_s = cost_of(FACTORS)(batch.slices)
host_s = 2e-3 + 2 * 1e-5


def test_a_step_takes_what_the_formula_says_and_what_the_host_does() -> None:
    cost = profile_cost(made_up())
    assert [cost(batch) for _ in range(3)] == [pytest.approx(alone_s + host_s)] * 3


def test_noise_is_that_of_the_measurement_and_the_same_for_a_seed() -> None:
    noisy, again, other = (profile_cost(made_up(), noise_seed=seed) for seed in (7, 7, 8))
    runs = [noisy(batch) for _ in range(300)]
    assert runs == [again(batch) for _ in range(300)]
    assert runs != [other(batch) for _ in range(300)]
    ratios = {round((run - host_s) / alone_s, 9) for run in runs}
    assert ratios == {0.9, 1.0, 1.3}
