"""What steps teach about promises: a target at the edge of what is possible stays what it was called."""

from dataclasses import replace
from itertools import pairwise
from random import Random

from headway.core.forecast import Profile
from headway.core.learned import Learned, bare
from headway.core.slo import CHAT


def test_a_target_at_the_edge_is_not_reported_on_and_off():
    learned = Learned({"chat": replace(CHAT, ttft_p95_s=None, itl_p95_s=0.1)}, Profile())

    def after(step_s: float) -> bool:
        for _ in range(200):
            learned.observe(bare, step_s)
        return bool(learned.infeasible)

    assert [after(s) for s in (0.1, 0.11, 0.1, 0.097, 0.09, 0.1, 0.104, 0.11)] == [
        False, True, True, True, False, False, False, True,
    ]  # fmt: skip


def test_steps_of_uneven_length_around_a_target_do_not_make_it_come_and_go():
    learned = Learned({"chat": replace(CHAT, ttft_p95_s=None, itl_p95_s=0.1)}, Profile())
    random, told = Random(1), []
    for _ in range(4000):
        learned.observe(bare, 0.1 * random.lognormvariate(0.0, 0.15))
        told.append(bool(learned.infeasible))
    assert sum(a is not b for a, b in pairwise(told[200:])) <= 1
