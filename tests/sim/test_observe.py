"""What a run tells of itself adds up, and what is quick to count is what is counted plainly."""

from dataclasses import asdict, replace
from math import inf

import pytest

from headway.bench.workload import CLASSES, WORKLOADS
from headway.core.limits import Limits
from headway.core.memory import paged
from headway.core.policies import POLICIES
from headway.core.types import Batch, Slice, Stepped
from headway.sim.deployment import Deployment
from headway.sim.devices import device
from headway.sim.figures import figures, together
from headway.sim.meter import Meter
from headway.sim.models import model
from headway.sim.observe import Run, observe
from headway.sim.precision import Precision
from headway.sim.simulate import Trial
from headway.sim.timeline import Timeline
from headway.sim.utilisation import traffic, traffic_of_decodes

mistral = Deployment(model("Mistral-7B"), device("A100-80"))
load = replace(WORKLOADS["mixed"], requests=60)


def observed(deployment: Deployment = mistral, seed: int = 2) -> Run:
    limits = Limits(64, 512, 1000, 16, deployment.kv_blocks(16), 16_384)
    trial = Trial(load, CLASSES, Meter(deployment), paged, inf, inf, deployment.depth, deployment.pp)
    return observe(trial, POLICIES["stall-free"](), limits, 3.0, seed, dollars_per_hour=1.8)


@pytest.mark.parametrize("deployment", [mistral, replace(mistral, tp=2), replace(mistral, pp=2)])
def test_seconds_add_up(deployment: Deployment) -> None:
    run = observed(deployment)
    usage = run.usage.values()
    assert sum(u.steps for u in usage) == run.totals.steps
    for each in usage:
        assert sum(each.components) == pytest.approx(each.seconds)
    if deployment.pp == 1:
        busy_s = run.totals.busy * run.totals.duration_s
        assert busy_s == pytest.approx(sum(u.seconds for u in usage))
    ends_s = [sum(shares.values()) for shares in run.spent_s.values()]
    e2e_s = [line.e2e.mean * line.e2e.count for line in run.report.classes.values() if line.e2e]
    assert sum(ends_s) == pytest.approx(sum(e2e_s), rel=1e-6), "every nanosecond of a request has one share"
    assert sum(point.steps for point in run.timeline) == run.totals.steps


def test_what_binds_is_said_for_prefill_and_decode_apart() -> None:
    usage = observed().usage
    prefill, decode = usage["prefill"].utilisation, usage["decode"].utilisation
    assert prefill is not None
    assert decode is not None
    assert (prefill.bound_by, decode.bound_by) == ("compute", "memory")
    assert 0 < decode.mfu < prefill.mfu < 1
    assert 0 < prefill.mbu < decode.mbu < 1


def test_a_meter_changes_no_second() -> None:
    meter, cost = Meter(mistral), mistral.cost()
    for slices in ([Slice(1, 0, 512, True)], [Slice(n, 100 * n, 1, True) for n in range(40)]):
        batch = Batch(1, (), (), (), tuple(slices))
        assert meter(batch) == cost(batch)


def test_traffic_of_decodes_is_traffic() -> None:
    slices = [Slice(n, 37 * n, 1, True) for n in range(200)]
    for kv in (Precision.BITS16, Precision.FP8):
        plain = traffic(mistral.model, Precision.INT4, kv, slices)
        quick = traffic_of_decodes(mistral.model, Precision.INT4, kv, slices)
        assert quick == pytest.approx(plain)


def test_a_timeline_is_bounded_and_loses_nothing() -> None:
    timeline = Timeline(64)
    for n in range(10_001):
        frame = Stepped(float(n), 0.5, n, 0, 1, 1, 2, 3, 4, 5, *[0] * 5, 0, 0.5, 0.0)
        timeline.add(frame)
    points = timeline.points()
    assert 32 <= len(points) <= 65
    assert sum(p.steps for p in points) == 10_001
    assert sum(p.steps * p.tokens for p in points) == pytest.approx(10_001 * 5_000)
    assert all(p.kv_used == pytest.approx(5 / 12) for p in points)
    assert points[-1].at_s == 10_000.0


def test_the_same_seed_gives_the_same_figures_and_another_seed_others() -> None:
    first, again, other = (figures(observed(seed=seed)) for seed in (2, 2, 5))
    assert first == again
    assert first != other
    mean, low, high = together([first, other])["goodput"]
    assert low < mean < high
    assert mean == pytest.approx((first["goodput"] + other["goodput"]) / 2)


def test_what_costs_dollars_is_said_per_token_and_per_good_request() -> None:
    run = observed()
    assert run.dollars == pytest.approx(1.8 * run.totals.duration_s / 3600)
    assert run.dollars_per_million_tokens == pytest.approx(1e6 * run.dollars / run.totals.output_tokens)
    met = sum(line.met for line in run.report.classes.values())
    assert run.dollars_per_thousand_good == pytest.approx(1e3 * run.dollars / met)
    assert asdict(run.totals)["ends"] == {"stop": 60}
