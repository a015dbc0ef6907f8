"""B. A batch of 64 against one of 1 (MosaicML/Databricks, 2023): FasterTransformer, request-level batches."""

from functools import partial

from headway.headlines.rows import Effort, Job, Row
from headway.headlines.whole_batches import fits, run_batch, system_of
from headway.sim.deployment import Deployment
from headway.sim.devices import device
from headway.sim.fits import FASTER_TRANSFORMER
from headway.sim.models import model

SOURCE = "MosaicML/Databricks, LLM Inference Performance Engineering, 2023"
inputs, outputs = 512, 64
BATCHES = (1, 4, 8, 16, 32, 64, 128)
CLAIMED = {1: 0.9, 4: 3.2, 8: 5.3, 16: 8.0, 32: 10.5, 64: 12.5}  # requests/s, on one A100-40
ELSEWHERE = (
    ("a100x2", "two A100-40", "A100-40", 2),
    ("a100x4", "four A100-40", "A100-40", 4),
    ("a10", "an A10", "A10", 1),
)


def jobs(effort: Effort) -> list[Job]:
    others = [Job(f"MPT-7B on {one[1]}", 0.02, partial(elsewhere, *one)) for one in ELSEWHERE]
    return [Job("MPT-7B on an A100-40", 0.02, published), *others]


def batch_seconds(device_name: str, tp: int) -> dict[int, float]:
    """By batch, of those that fit: from the prompts to the last tokens."""
    found = {}
    for sequences in BATCHES:
        deployment = Deployment(
            model("MPT-7B"), device(device_name), tp, generation=FASTER_TRANSFORMER,
            step_tokens=sequences * inputs,
        )  # fmt: skip
        system = system_of(deployment, sequences, inputs, outputs)
        if fits(system, inputs + outputs):
            found[sequences] = run_batch(system, inputs, outputs).seconds
    return found


def published() -> list[Row]:
    seconds = batch_seconds("A100-40", 1)
    rows = [
        Row(
            f"B/a100/{n}", f"MPT-7B, A100-40, {inputs} in, {outputs} out, batch {n}: {rate:g} requests/s",
            SOURCE, n / seconds[n], "requests/s", rate, fitted=True,
        )
        for n, rate in CLAIMED.items()
    ]  # fmt: skip
    throughput, latency = 64 * seconds[1] / seconds[64], seconds[64] / seconds[1]
    points = CLAIMED[64] / CLAIMED[1]
    return [
        *rows,
        Row(
            "B/a100/throughput", "batch 64 over batch 1: 14x the throughput", SOURCE, throughput, "x", 14.0,
            fitted=True,
        ),
        Row(
            "B/a100/latency", f"batch 64 over batch 1: 4x the latency (by its own points {64 / points:.1f}x)",
            SOURCE, latency, "x", (4.0, 64 / points), fitted=True,
        ),
        Row(
            "B/a100/largest", "the largest batch that fits is 64; 128 does not", SOURCE, max(seconds),
            "requests", 64.0,
        ),
    ]  # fmt: skip


def elsewhere(id: str, words: str, device_name: str, tp: int) -> list[Row]:
    seconds = batch_seconds(device_name, tp)
    largest = max(seconds)
    rows = [
        Row(f"B/{id}/{n}", f"MPT-7B on {words}, batch {n}: not stated", SOURCE, n / s, "requests/s")
        for n, s in seconds.items()
    ]
    gain, latency = largest * seconds[1] / seconds[largest], seconds[largest] / seconds[1]
    place = f"MPT-7B on {words}, batch {largest} (the largest that fits) over 1"
    return [
        *rows,
        Row(f"B/{id}/throughput", f"{place}, throughput: not stated", SOURCE, gain, "x"),
        Row(f"B/{id}/latency", f"{place}, latency: not stated", SOURCE, latency, "x"),
    ]
