"""G, what is measured on this machine: its arithmetic on an engine made up for it, and the real one on a tiny
model.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest

from headway.bench.report import Answer
from headway.bench.workload import Arrival
from headway.cli.measured import serve
from headway.core.types import Stepped
from headway.headlines.g_machine import Engine, Ran, batches, continuous, jobs, memory, promises
from headway.headlines.rows import FULL, QUICK, Row
from tests.cli.test_commands import headway
from tests.speaking_model import write_speaking_model

frame = Stepped(0.0, 1.0, 1, 0, 1, 1, 1, 5, 0, 10, 40, 0, 0, 0, 0, 1, 0.0, 0.0)  # 40 of 160 slots unused


def made_up(engine: Engine, arrivals: Sequence[Arrival]) -> Ran:
    """A token takes 1 ms of everyone's time, a policy that waits for whole batches twice as long."""
    token_s = 0.002 if engine.policy == "static" else 0.001
    answers, end_s = [], 0.0
    for a in arrivals:
        first_s = max(a.at_s, end_s) + token_s
        stamps = [first_s + token_s * i for i in range(a.output_tokens)]
        answers.append(Answer(a.service_class, a.at_s, stamps, complete=True, tokens=a.tokens))
        end_s = stamps[-1]
    return Ran(answers, [frame])


def by_id(rows: Sequence[Row]) -> dict[str, float]:
    assert all(row.claimed is None for row in rows), "what others claim is not about this machine"
    return {row.id: row.ours for row in rows}


def test_batches_compare_throughput_and_latency() -> None:
    rows = by_id(batches(QUICK, made_up))
    assert rows["G/batch/1"] == pytest.approx(1 / 0.064)
    assert rows["G/batch/latency"] == pytest.approx(64)
    assert rows["G/batch/throughput"] == pytest.approx(1), "this engine serves one after another"


def test_memory_rules_are_compared_by_rate_and_by_use() -> None:
    rows = by_id(memory(QUICK, made_up))
    assert rows["G/memory/paged/use"] == rows["G/memory/reserved-context/use"] == pytest.approx(75)
    assert rows["G/memory/paged-to-reserved-request"] == pytest.approx(1)
    assert rows["G/memory/paged-to-reserved-context"] == pytest.approx(2)


def test_continuous_batches_are_compared_with_whole_ones() -> None:
    assert by_id(continuous(QUICK, made_up))["G/batching/continuous-to-static"] == pytest.approx(2)


def test_policies_are_compared_under_a_load_that_this_machine_can_bear() -> None:
    rows = by_id(promises(QUICK, made_up))
    for policy in ("prefill-first", "stall-free", "adaptive"):
        assert rows[f"G/promises/{policy}/attainment"] == 100
        assert rows[f"G/promises/{policy}/goodput"] > 1


def test_every_job_has_a_label_of_its_own() -> None:
    made = jobs(FULL, made_up)
    assert len({job.label for job in made}) == len(made)


def test_the_real_engine_serves_and_its_clients_leave_when_they_have_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_speaking_model(tmp_path / "model", max_positions=256)
    monkeypatch.setenv("HEADWAY_CACHE", str(tmp_path))
    asked = [
        Arrival(0.0, "batch", 20, 5, 40),
        Arrival(0.0, "batch", 30, 40, 40),
        Arrival(0.1, "batch", 9, 1, 40),
    ]
    ran = serve(Engine("stall-free", 4, 64, kv_tokens=512), asked, str(folder))
    assert [len(answer.stamps) for answer in ran.answers] == [5, 40, 1]
    assert all(answer.complete and answer.ttft_s > 0 for answer in ran.answers)
    assert sum(frame.tokens for frame in ran.frames) <= 20 + 30 + 9 + 5 + 40 + 1, "no answer went on for long"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--only", "G"), "--only: G is measured on this machine, not simulated; add --real"),
        (("--only", "A", "--real"), "--real: it measures G, which --only leaves out"),
    ],
)
def test_what_is_measured_is_asked_for(arguments: tuple[str, ...], said: str) -> None:
    result = headway("headlines", *arguments)
    assert (result.exit_code, result.stderr) == (2, f"headway: {said}\n")
