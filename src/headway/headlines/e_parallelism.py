"""E. Tensor parallelism: what its all-reduces carry, and what every further GPU brings."""

from functools import partial
from itertools import pairwise

from headway.core.types import Batch
from headway.headlines.rows import Effort, Job, Row
from headway.headlines.whole_batches import run_batch, system_of
from headway.sim.deployment import Deployment
from headway.sim.devices import device
from headway.sim.models import Dimensions, model

SOURCE = "Shoeybi et al., Megatron-LM, 2019: all-reduces after attention and after the MLP"
NO_SOURCE = "widely quoted, no primary source found"
COUNTED = (("Llama2-70B", 2, 2), ("Llama2-70B", 8, 2), ("Falcon-180B", 8, 1))  # TP; all-reduces of a layer
inputs, outputs, sequences = 200, 9, 4


def jobs(effort: Effort) -> list[Job]:
    counted = [
        Job(f"all-reduces of {name}, TP {tp}", 0.01, partial(carried, name, tp, n)) for name, tp, n in COUNTED
    ]
    return [*counted, Job("throughput per GPU", 0.05, per_gpu)]


def carried(name: str, tp: int, each: int) -> list[Row]:
    """Bytes of a run's all-reduces as the cost model has them, over the formula's: so many in a layer, of
    tokens x hidden x 2 bytes each.
    """
    dimensions = model(name)
    batches: list[Batch] = []
    system = system_of(Deployment(dimensions, device("H100"), tp), sequences, inputs, outputs)
    run_batch(system, inputs, outputs, batches.append)
    ours = sum(sent_bytes(dimensions, batch) for batch in batches)
    tokens = sequences * (inputs + outputs - 1)
    formula = each * dimensions.layers * tokens * dimensions.hidden * 2
    words = f"{name}, TP {tp}: {each} x layers x tokens x hidden x 2 bytes of all-reduces, {formula:,} here"
    return [Row(f"E/bytes/{name.lower()}/tp{tp}", words, SOURCE, float(ours), "bytes", float(formula))]


def sent_bytes(dimensions: Dimensions, batch: Batch) -> int:
    return dimensions.all_reduces * dimensions.all_reduce_bytes(sum(slice.count for slice in batch.slices))


def per_gpu() -> list[Row]:
    """Falls with every doubling: the number of doublings of which that is true."""
    each = []
    for tp in (1, 2, 4, 8):
        system = system_of(Deployment(model("Llama2-13B"), device("A100-80"), tp), 16, 512, 32)
        each.append(16 / run_batch(system, 512, 32).seconds / tp)
    place = "Llama2-13B on A100-80, 16 requests of 512 in, 32 out"
    rows = [
        Row(
            f"E/per-gpu/tp{tp}",
            f"{place}, TP {tp}: throughput per GPU, not stated",
            NO_SOURCE,
            rate,
            "requests/s",
        )
        for tp, rate in zip((1, 2, 4, 8), each, strict=True)
    ]
    falls = sum(after < before for before, after in pairwise(each))
    words = f"{place}: throughput per GPU falls with each of three doublings of TP"
    return [*rows, Row("E/per-gpu/falls", words, NO_SOURCE, falls, "doublings", 3.0)]
