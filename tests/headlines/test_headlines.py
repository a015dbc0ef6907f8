"""Published results run again: what a row says, what a run is judged by, and the experiments that take
seconds.
"""

import json
from collections.abc import Sequence

import pytest

from headway.bench.lengths import read_lengths
from headway.headlines import a_sarathi, b_batches, d_hardware, e_parallelism, f2_shapes, f_targets
from headway.headlines.experiments import EXPERIMENTS, in_order, jobs_of, run
from headway.headlines.rows import FULL, QUICK, Row
from headway.headlines.serving import Goal, Served, capacity_of, serve
from headway.headlines.whole_batches import run_batch, system_of
from headway.headlines.world import Padded, System
from headway.sim.deployment import Deployment
from headway.sim.devices import device
from headway.sim.models import model
from tests.cli.test_commands import headway, last_line
from tests.sim.deployed import batch, together_s

mistral = Deployment(model("Mistral-7B"), device("A100-80"))
few = QUICK._replace(requests=40)


def by_id(rows: Sequence[Row]) -> dict[str, Row]:
    assert len({row.id for row in rows}) == len(rows), "an id names one row"
    return {row.id: row for row in rows}


@pytest.mark.parametrize(
    ("claimed", "ratio"), [(None, None), (2.0, 1.5), ((2.0, 4.0), 1.0), ((4.0, 5.0), 0.75), ((1.0, 2.0), 1.5)]
)
def test_a_ratio_is_to_the_claim_or_to_the_nearer_end_of_its_range(
    claimed: float | tuple[float, float] | None, ratio: float | None
) -> None:
    row = Row("X/1", "a claim", "a source", 3.0, "x", claimed)
    assert row.ratio == ratio
    assert {"id", "claim", "source", "ours", "ratio"} <= set(row.as_json())


def test_a_whole_batch_takes_its_steps() -> None:
    """The engine's run is its step's costs, one after another."""
    run = run_batch(system_of(mistral, 8, 100, 20), 100, 20)
    assert run.seconds == pytest.approx(together_s(mistral.cost(), 8, 100, 20))


def judged(rate: float, gap_s: float, policy: str = "stall-free") -> Served:
    system = System(mistral, policy, 128, 512, 8192)
    return serve(system, read_lengths("500:40"), Goal(gap_s), 60, 1, rate)


def test_a_rate_is_held_while_the_tail_between_tokens_and_the_wait_are_in_bounds() -> None:
    calm = judged(1.0, 0.1)
    assert calm.held
    assert (calm.requests, calm.gaps, calm.late_gaps, calm.late_starts) == (60, 60 * 39, 0, 0)
    assert not judged(1.0, 0.001).held, "every gap is late"
    crowded = judged(200.0, 10.0)
    assert crowded.late_gaps == 0
    assert crowded.held == (2 * crowded.late_starts <= 60)


def test_a_run_ends_when_it_is_lost() -> None:
    assert judged(1.0, 0.001).gaps < 60


def test_padded_rows_are_as_long_as_the_longest_and_stay_to_the_end() -> None:
    padded = Padded(mistral.cost())
    first = batch((0, 10, True), (0, 300, True))._replace(joined=(object(),))  # type: ignore[arg-type]
    assert padded(first) == mistral.cost()(batch((0, 300, True), (0, 300, True)))
    assert padded(batch((10, 1, True))) == mistral.cost()(batch((10, 1, True), (10, 1, True)))


def test_a_pipeline_is_served_too() -> None:
    case = a_sarathi.CASES[2]
    assert case.deployment.depth == 2
    system = System(case.deployment, "stall-free", 64, 512, 8192)
    assert capacity_of(system, read_lengths("500:20"), Goal(1.0), few, 1, 0.5) > 0.3


def test_the_curve_of_batches_comes_out_as_it_was_fitted() -> None:
    rows = by_id(b_batches.published())
    for sequences in b_batches.CLAIMED:
        row = rows[f"B/a100/{sequences}"]
        assert row.fitted
        assert row.ratio == pytest.approx(1.0, abs=0.06)
    assert rows["B/a100/throughput"].ratio == pytest.approx(1.0, abs=0.06)
    assert rows["B/a100/largest"].ratio == 1.0


def test_hardware_is_within_a_fifth_of_what_is_stated_but_for_one_request_on_four_gpus() -> None:
    rows = by_id([*d_hardware.generations(), *d_hardware.degrees(), *d_hardware.links()])
    assert not any(row.fitted for row in rows.values())
    off = {id for id, row in rows.items() if row.ratio is not None and abs(row.ratio - 1) > 0.2}
    assert off == {"D/tp/1"}


@pytest.mark.parametrize(("name", "tp", "each"), e_parallelism.COUNTED)
def test_all_reduces_carry_what_the_formula_says(name: str, tp: int, each: int) -> None:
    (row,) = e_parallelism.carried(name, tp, each)
    assert row.ours == row.claimed


def test_throughput_per_gpu_falls() -> None:
    assert by_id(e_parallelism.per_gpu())["E/per-gpu/falls"].ratio == 1.0


def test_prefill_saturates_and_decode_grows() -> None:
    rows = by_id(f2_shapes.growth())
    assert rows["F2/prefill/64-to-8"].ours < 1.2
    assert rows["F2/decode/8-to-1"].ours > 0.9 * 8


def test_adaptive_keeps_its_bounds() -> None:
    assert all(row.ratio in (None, 1.0) for row in f_targets.bound(8.0, QUICK))


@pytest.mark.parametrize("effort", [QUICK, FULL])
def test_every_letter_has_jobs_with_labels_of_their_own(effort: object) -> None:
    jobs = jobs_of(EXPERIMENTS, FULL if effort is FULL else QUICK)
    assert len({job.label for job in jobs}) == len(jobs)


def test_jobs_run_in_processes_and_say_what_runs() -> None:
    heard: list[tuple[Sequence[str], int, int]] = []
    jobs = jobs_of(["E"], QUICK)
    told = run(jobs, 2, lambda running, done, total: heard.append((running, done, total)))
    rows = in_order(jobs, {job.label: rows for job, rows in told})
    assert [row.id for row in rows][:2] == ["E/bytes/llama2-70b/tp2", "E/bytes/llama2-70b/tp8"]
    assert heard[0][1:] == (0, 4)
    assert len(heard[0][0]) == 2
    assert heard[-1] == ([], 4, 4)


def test_the_command_prints_rows_and_one_object() -> None:
    answer = last_line(headway("headlines", "--only", "e", "--quick", "--json"))
    assert len(answer["rows"]) == 8
    assert json.dumps(answer["rows"][0]).startswith('{"id": "E/bytes')


def test_a_letter_that_is_none_is_refused_with_those_that_are() -> None:
    result = headway("headlines", "--only", "A,Z")
    assert result.exit_code == 2
    assert result.stderr == "headway: --only: 'Z' is no experiment; there are A, B, C, D, E, F, F2, G\n"
