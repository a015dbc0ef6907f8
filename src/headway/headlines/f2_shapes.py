"""F2. Shapes: how prefill and decode grow with the batch, what memory holds, a large and a small model."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from headway.bench.arrivals import at_once
from headway.bench.workload import Part, Workload
from headway.core.slo import BATCH
from headway.core.types import Event, Stepped
from headway.headlines.c_paging import ONE_TURN, context
from headway.headlines.rows import Claimed, Effort, Job, Row
from headway.headlines.whole_batches import run_batch, system_of
from headway.headlines.world import System, block_size, make_engine
from headway.sim.deployment import Deployment
from headway.sim.devices import device
from headway.sim.fits import VLLM_2023
from headway.sim.models import model

SOURCE = "widely quoted, no primary source found"
PAGED = "Kwon et al., PagedAttention, SOSP 2023"
MEMORY: tuple[tuple[str, Claimed, str], ...] = (
    ("paged", 96.3, "96.3 %"),
    ("reserved-request", (20.4, 38.2), "20.4 to 38.2 %"),
    ("reserved-context", (20.4, 38.2), "20.4 to 38.2 %"),
)


def jobs(effort: Effort) -> list[Job]:
    memory = [
        Job(f"KV memory, {rule}", 0.2, partial(kv_use, rule, claimed, said, effort))
        for rule, claimed, said in MEMORY
    ]
    return [
        Job("prefill and decode by batch", 0.05, growth),
        Job("a large and a small model", 0.05, sizes),
        *memory,
    ]


def growth() -> list[Row]:
    """Llama3-8B on an H100: tokens a second of the prompts' step, and of the later ones."""
    deployment = Deployment(model("Llama3-8B"), device("H100"))
    prefill, decode = {}, {}
    for n in (1, 8, 32, 64):
        done = run_batch(system_of(deployment, n, 512, 32), 512, 32)
        prefill[n], decode[n] = 512 * n / done.prefill_s, 31 * n / (done.seconds - done.prefill_s)
    place = "Llama3-8B on an H100, 512 in, 32 out"
    return [
        Row(f"F2/{name}/{n}-to-{of}", f"{place}: {name} throughput of batch {n} over {of}, {said}", SOURCE,
            rates[n] / rates[of], "x", note=f"{n // of} would be linear")
        for name, rates, said in (("prefill", prefill, "saturates"), ("decode", decode, "nearly linear"))
        for n, of in ((8, 1), (64, 8), (32, 1))
    ]  # fmt: skip


class Use:
    """A sink that keeps how much of the blocks held has computed tokens, weighed by time, while some wait."""

    def __init__(self) -> None:
        self.filled = self.held = 0.0

    def publish(self, now: float, events: Sequence[Event]) -> None:
        for event in events:
            if type(event) is Stepped and event.waiting:
                slots = event.blocks_used * block_size
                self.held += slots * event.step_s
                self.filled += (slots - event.slots_unused) * event.step_s


def kv_use(rule: str, claimed: Claimed, said: str, effort: Effort) -> list[Row]:
    deployment = Deployment(model("OPT-13B"), device("A100-40"), generation=VLLM_2023, step_tokens=context)
    system = System(deployment, "prefill-first", 256, context, context, memory=rule)
    workload = Workload((Part(BATCH.name, 1.0, ONE_TURN),), at_once, requests=effort.requests // 2)
    use = Use()
    make_engine(system, list(workload.arrivals(1.0, effort.seeds[0], 1.0)), use).engine.run()
    words = f"OPT-13B on an A100-40, one-turn ShareGPT, {rule} memory: {said} of what is held is used"
    return [Row(f"F2/kv-use/{rule}", words, PAGED, 100 * use.filled / use.held, "%", claimed)]


def sizes() -> list[Row]:
    """Sixteen requests, 512 in, 128 out, each model on what it needs."""
    small = Deployment(model("Llama3-8B"), device("H100"))
    large = replace(small, model=model("Llama3-70B"), tp=4)
    rows = []
    for deployment in (small, large):
        done = run_batch(system_of(deployment, 16, 512, 128), 512, 128)
        rate = 16 * 128 / done.seconds
        name = f"{deployment.model.name} on {deployment.gpus} H100 with NVLink, batch 16"
        id = f"F2/size/{deployment.model.name.lower()}"
        token_ms = 1e3 * (done.seconds - done.prefill_s) / 127
        dollars = deployment.dollars_per_hour / (rate * 3600) * 1e6
        rows += [
            Row(f"{id}/itl", f"{name}: time per token, not stated", SOURCE, token_ms, "ms"),
            Row(
                f"{id}/per-gpu",
                f"{name}: throughput per GPU, not stated",
                SOURCE,
                rate / deployment.gpus,
                "tokens/s",
            ),
            Row(f"{id}/cost", f"{name}: cost of a million output tokens, not stated", SOURCE, dollars, "$"),
        ]
    return rows
