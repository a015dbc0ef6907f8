"""A workload under a policy: what is judged, what counts as missed, when a run may end early."""

from array import array
from dataclasses import replace

import pytest

from headway.bench.lengths import LENGTHS
from headway.bench.report import Report
from headway.bench.traces import Trace
from headway.bench.workload import CLASSES, WORKLOADS, Arrival, Part, Prefix, Workload
from headway.core.limits import Limits
from headway.core.memory import paged
from headway.core.policies import POLICIES
from headway.core.types import Batch
from headway.sim.executor import LinearCost
from headway.sim.simulate import Trial, simulate
from tests.fresh_processes import told_by_two

limits = Limits(32, 512, 1000, 16, 4000, 16_384, prefix_cache=False)
trial = Trial(WORKLOADS["mixed"], CLASSES, LinearCost(0.005, 0.00003), paged, 20.0, 60.0)


def run(
    policy: str = "stall-free",
    rate: float = 2.0,
    tolerated: float = 1.0,
    trial: Trial = trial,
    limits: Limits = limits,
) -> Report:
    return simulate(trial, POLICIES[policy](), limits, rate, 5, tolerated=tolerated)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_light_load_is_served_to_its_last_token(policy: str) -> None:
    report = run(policy)
    drawn = [a for a in trial.workload.arrivals(2.0, 5, 60.0) if a.at_s < 20.0]
    assert sum(c.requests for c in report.classes.values()) == len(drawn)
    assert sum(c.incomplete for c in report.classes.values()) == 0
    gaps = sum(c.itl.count for c in report.classes.values() if c.itl)
    assert gaps == sum(a.output_tokens - 1 for a in drawn), "answers end at the length that was drawn"


def test_one_request_alone_takes_its_steps() -> None:
    """Chunks of 512, then a step for each further token; 5 ms a step and 30 us a token."""
    lone = replace(
        trial, workload=Workload((Part("interactive", 1.0, "short"),), lambda _: 1.0), window_s=1.5
    )
    arrival = next(lone.workload.arrivals(1.0, 5, 2.0))
    line = run(rate=1.0, trial=lone).classes["interactive"]
    assert line.ttft is not None
    assert line.ttft.p50 == pytest.approx(0.005 + 0.00003 * arrival.prompt_tokens)
    assert line.e2e is not None
    assert line.e2e.p50 == pytest.approx(line.ttft.p50 + 0.00503 * (arrival.output_tokens - 1))


def test_what_has_not_ended_at_the_horizon_is_missed() -> None:
    report = run(trial=replace(trial, cost=LinearCost(2.0, 0.0)))
    assert all(c.incomplete for c in report.classes.values())
    assert report.attainment == 0
    assert report.classes["chat"].requests > 10


def test_what_is_refused_is_missed() -> None:
    narrow = replace(limits, max_model_len=1500)
    report = run(limits=narrow)
    most = LENGTHS["sharegpt"].max_tokens
    drawn = [a for a in trial.workload.arrivals(2.0, 5, 20.0) if a.service_class == "chat"]
    refused = [a for a in drawn if a.prompt_tokens + most > 1500]
    assert 0 < len(refused) < len(drawn)
    assert report.classes["chat"].incomplete == len(refused)


def test_a_run_that_missed_too_much_ends_early_with_the_same_verdict() -> None:
    steps = {"whole": 0, "cut": 0}

    def overloaded(name: str) -> Trial:
        def step_s(batch: Batch) -> float:
            steps[name] += 1
            return LinearCost(0.05, 0.00003)(batch)

        return replace(trial, cost=step_s)

    whole, cut = run(trial=overloaded("whole")), run(tolerated=0.05, trial=overloaded("cut"))
    assert whole.attainment < 0.95
    assert cut.attainment < 0.95
    assert steps["cut"] < 0.5 * steps["whole"]
    assert run(tolerated=0.05) == run(), "one that holds is not cut"


def test_the_same_seed_gives_the_same_report_in_two_fresh_processes() -> None:
    program = "from tests.sim.test_simulate import run; print(run('prefill-first'), run(rate=8.0))"
    reports = told_by_two(program)
    assert len(reports) == 1


def test_prompts_that_a_trace_says_begin_alike_are_found_in_the_prefix_cache() -> None:
    """Of 1,600 tokens the first 1,536 are shared: the second prompt takes one chunk where it took four."""
    prefix = Prefix(array("Q", [1, 2, 3]), 512)
    asks = [Arrival(at_s, "batch", 1600, 2, 2, prefix) for at_s in (0.0, 10.0)]
    one_asked_again = replace(trial, workload=Trace(tuple(asks), 20.0, 0))
    for prefix_cache, chunks in ((False, 8), (True, 5)):
        line = run(
            rate=0.1, trial=one_asked_again, limits=replace(limits, prefix_cache=prefix_cache)
        ).classes["batch"]
        assert line.ttft is not None
        tokens = 3200 - 1536 * prefix_cache
        each = (0.005 * 4 + 0.00003 * 1600, 0.005 * (chunks - 4) + 0.00003 * (tokens - 1600))
        assert line.ttft.p50 == pytest.approx(min(each))
        assert line.ttft.p99 == pytest.approx(max(each))
