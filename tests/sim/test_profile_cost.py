"""The simulator on a machine that was calibrated."""

import pytest

from headway.bench.workload import Arrival
from headway.core.types import Batch, Request, Slice
from headway.profile.cost import cost_of
from headway.sim.faults import letters
from headway.sim.profile_cost import profile_cost, profile_way
from tests.profile.made_up import FACTORS, made_up

batch = Batch(0, (), (), (), (Slice(0, 63, 1, True), Slice(1, 0, 30, True)))
alone_s = cost_of(FACTORS)(batch.slices)
between_s = 3e-3 + 2 * 1e-4


def test_a_step_takes_what_the_formula_says_and_what_passes_between_steps_of_a_server() -> None:
    cost = profile_cost(made_up())
    assert [cost(batch) for _ in range(3)] == [pytest.approx(alone_s + between_s)] * 3


def test_noise_is_that_of_the_measurement_and_the_same_for_a_seed() -> None:
    noisy, again, other = (profile_cost(made_up(), noise_seed=seed) for seed in (7, 7, 8))
    runs = [noisy(batch) for _ in range(300)]
    assert runs == [again(batch) for _ in range(300)]
    assert runs != [other(batch) for _ in range(300)]
    ratios = {round((run - between_s) / alone_s, 9) for run in runs}
    assert ratios == {0.9, 1.0, 1.3}


def test_a_long_prompt_is_longer_on_its_way_and_may_be_overtaken() -> None:
    way = profile_way(made_up())
    long, short = Arrival(1.0, "chat", 10_000, 5, 5), Arrival(1.001, "chat", 100, 5, 5)
    assert [way(long), way(short)] == pytest.approx([4e-3 + 0.02, 4e-3 + 2e-4])
    come = list(letters([long, short], 1, 0.0, way))
    assert [at_s for at_s, _ in come] == pytest.approx([1.0052, 1.024])
    requests = [one for _, one in come if isinstance(one, Request)]
    assert [(one.id, one.arrival_s) for one in requests] == [(1, come[0][0]), (0, come[1][0])]
    assert [at_s for at_s, _ in letters([long, short], 1, 0.0)] == [1.0, 1.001]
