"""The cost model against what others measured, with the one set of numbers that `fits.py` has."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from headway.sim.deployment import Deployment
from headway.sim.devices import device
from headway.sim.fits import FASTER_TRANSFORMER, HEADWAY, SARATHI_SERVE, VLLM_2023, Generation
from headway.sim.interconnect import Link
from headway.sim.models import model
from tests.sim.deployed import decode, prefill, together_s

yi = Deployment(model("Yi-34B"), device("A100-80-PCIe"), tp=2, generation=SARATHI_SERVE)
mpt = model("MPT-7B")
a100_40 = device("A100-40")


@pytest.mark.parametrize(
    ("tokens", "measured_ms"), [(512, 106), (1024, 214), (2048, 366), (4096, 758), (8192, 1863)]
)
def test_yi_s_prefills_are_met_within_fifteen_percent(tokens: int, measured_ms: float) -> None:
    """Two A100-80 PCIe; device numbers come from other models' layers alone, so these are predicted."""
    assert 1e3 * yi.cost()(prefill(tokens)) == pytest.approx(measured_ms, rel=0.15)


@pytest.mark.parametrize(
    ("sequences", "measured_ms"), [(4, 48.8), (8, 69.7), (16, 77.3), (32, 87.9), (64, 127.8)]
)
def test_yi_s_decodes_are_met_within_a_quarter(sequences: int, measured_ms: float) -> None:
    assert 1e3 * yi.cost()(decode(1024, sequences)) == pytest.approx(measured_ms, rel=0.25)


@pytest.mark.parametrize(("sequences", "measured_ms"), [(1, 46.8), (128, 189.3)])
def test_the_host_s_share_is_fitted_on_yi_s_smallest_and_largest_decode(
    sequences: int, measured_ms: float
) -> None:
    assert 1e3 * yi.cost()(decode(1024, sequences)) == pytest.approx(measured_ms, rel=0.002)


@pytest.mark.parametrize(
    ("sequences", "published"), [(1, 0.9), (4, 3.2), (8, 5.3), (16, 8.0), (32, 10.5), (64, 12.5)]
)
def test_faster_transformer_s_curve_is_met_within_six_percent(sequences: int, published: float) -> None:
    """Requests a second, MPT-7B, A100-40, 512 in, 64 out (MosaicML, 2023), which it was fitted on."""
    cost = Deployment(mpt, a100_40, generation=FASTER_TRANSFORMER).cost()
    assert sequences / together_s(cost, sequences, 512, 64) == pytest.approx(published, rel=0.06)


def test_where_sixty_four_requests_fit_128_do_not() -> None:
    deployment = Deployment(mpt, a100_40, generation=FASTER_TRANSFORMER, step_tokens=64 * 512)
    assert 64 * 576 <= 16 * deployment.kv_blocks(16) < 128 * 576


@pytest.mark.parametrize("generation", [HEADWAY, VLLM_2023])
@pytest.mark.parametrize("name", ["Llama2-7B", "Llama3-8B"])
def test_an_h100_takes_35_to_45_percent_less_time_per_token(name: str, generation: Generation) -> None:
    """Within a fifth of that: 28 to 54 %."""
    times = [
        together_s(Deployment(model(name), device(on), generation=generation).cost(), 1, 512, 64)
        for on in ("A100-80", "H100")
    ]
    assert 0.28 <= 1 - times[1] / times[0] <= 0.54


def test_twice_the_gpus_help_a_batch_of_sixteen_as_published_and_one_request_more_than_published() -> None:
    """MPT-7B, A100-40, TP 2 to 4, 128 in, 64 out: published are 33 and 12 % less time per token.

    One request's 12 % is missed: weights are read in half the time, and no message here takes longer among
    four GPUs than among two by what that saves.
    """
    saved = {}
    for sequences in (1, 16):
        two_s, four_s = (
            together_s(
                Deployment(mpt, a100_40, tp=tp, generation=FASTER_TRANSFORMER).cost(), sequences, 128, 64
            )
            for tp in (2, 4)
        )
        saved[sequences] = 1 - four_s / two_s
    assert 0.8 * 0.33 <= saved[16] <= 1.2 * 0.33
    assert saved[1] == pytest.approx(0.244, abs=0.005)
    assert saved[1] < saved[16]


@pytest.mark.parametrize("name", ["A100-80", "H100"])
def test_nvlink_takes_20_to_30_percent_off_what_pcie_takes(name: str) -> None:
    """Llama2-70B on four GPUs, 16 requests of 512 in, 64 out, from end to end."""
    times = [
        together_s(Deployment(model("Llama2-70B"), device(name), tp=4, link=link).cost(), 16, 512, 64)
        for link in (Link.PCIE, Link.NVLINK)
    ]
    assert 0.2 <= 1 - times[1] / times[0] <= 0.3


@pytest.mark.parametrize("sequences", [1, 16, 64])
def test_throughput_per_gpu_falls_as_tp_grows(sequences: int) -> None:
    each = []
    for tp in (1, 2, 4, 8):
        cost = Deployment(model("Llama2-13B"), device("A100-80"), tp=tp).cost()
        each.append(sequences / together_s(cost, sequences, 512, 32) / tp)
    assert each == sorted(each, reverse=True)


@pytest.mark.slow
def test_the_fits_are_those_of_the_measurements() -> None:
    """Needs the measurements that benchmarks/fit_cost.py names; they are not part of the repository."""
    data = os.environ.get("HEADWAY_FIT_DATA")
    if not data or not Path(data, "linear_op_times_ms.csv").exists():
        pytest.skip(
            "HEADWAY_FIT_DATA names no folder with linear_op_times_ms.csv and all_reduce_times_ms.csv"
        )
    script = Path(__file__).parents[2] / "benchmarks" / "fit_cost.py"
    ran = subprocess.run([sys.executable, script, "--data", data], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout[-1000:] + ran.stderr
