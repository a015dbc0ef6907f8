"""C. Paged memory against what came before (vLLM's launch post, 2023): static batches of Hugging Face's
transformers, and TGI's iteration-level batches that reserve room for the longest answer.

Throughput is that of many requests, all there at the start. Lengths are one-turn ShareGPT's, of which the
vLLM paper (SOSP 2023) states the means, 161 in and 338 out; the shape around them is ours.
"""

from dataclasses import replace
from functools import partial
from typing import NamedTuple

from headway.bench.arrivals import at_once
from headway.bench.lengths import Lengths, percentiles
from headway.bench.workload import Part, Workload
from headway.core.slo import BATCH
from headway.headlines.rows import Claimed, Effort, Job, Row
from headway.headlines.whole_batches import Steps, run_batch, system_of
from headway.headlines.world import System, block_size, make_engine
from headway.sim.deployment import Deployment
from headway.sim.devices import device
from headway.sim.fits import HUGGING_FACE_2023, TGI_2023, VLLM_2023
from headway.sim.models import model

SOURCE = "vLLM: Easy, Fast, and Cheap LLM Serving (launch post), June 2023"
NO_SOURCE = "widely quoted, no primary source found"
context, longest_answer = 2048, 1024  # LLaMA's; the most that a client asks for

ONE_TURN = Lengths(
    percentiles(
        (0, 4), (10, 10), (25, 17), (50, 56), (75, 220), (90, 470), (95, 650), (99, 950), (100, 1024)
    ),
    percentiles(
        (0, 4), (10, 30), (25, 120), (50, 295), (75, 480), (90, 690), (95, 830), (99, 1010), (100, 1024)
    ),
    max_tokens=longest_answer,
    most_together=context,
)


class Case(NamedTuple):
    id: str
    words: str
    model_name: str
    device_name: str

    def deployment(self, step_tokens: int) -> Deployment:
        return Deployment(model(self.model_name), device(self.device_name), step_tokens=step_tokens)


CASES = (
    Case("7b", "LLaMA-7B on an A10G", "Llama2-7B", "A10G"),
    Case("13b", "LLaMA-13B on an A100-40", "Llama2-13B", "A100-40"),
)


def jobs(effort: Effort) -> list[Job]:
    cases = [
        Job(f"{case.words}: three engines of 2023", 0.5, partial(compare, case, effort)) for case in CASES
    ]
    return [*cases, Job("TGI and vLLM, a single user", 0.05, single_user)]


def compare(case: Case, effort: Effort) -> list[Row]:
    deployment = case.deployment(context)
    static = replace(deployment, generation=HUGGING_FACE_2023)
    places = static.kv_blocks(block_size) * block_size // context  # whole contexts are reserved
    rates = {
        "vLLM": rate(
            System(replace(deployment, generation=VLLM_2023), "prefill-first", 256, context, context), effort
        ),
        "TGI": rate(
            System(
                replace(deployment, generation=TGI_2023),
                "prefill-first",
                256,
                context,
                context,
                "reserved-request",
            ),
            effort,
        ),
        "HF": rate(
            System(static, "static", places, places * context, context, "reserved-context", padded=True),
            effort,
        ),
    }
    rows = [
        Row(
            f"C/{case.id}/{name.lower()}",
            f"{case.words}, one-turn ShareGPT, {name}: not stated",
            SOURCE,
            ours,
            "requests/s",
        )
        for name, ours in rates.items()
    ]
    claims: tuple[tuple[str, Claimed, str], ...] = (
        ("HF", (14.0, 24.0), "14 to 24x"),
        ("TGI", (2.2, 2.5), "2.2 to 2.5x"),
    )
    for name, claimed, said in claims:
        words = f"{case.words}, one-turn ShareGPT: vLLM's throughput over {name}'s is {said}"
        rows.append(
            Row(
                f"C/{case.id}/vllm-to-{name.lower()}",
                words,
                SOURCE,
                rates["vLLM"] / rates[name],
                "x",
                claimed,
            )
        )
    return rows


def rate(system: System, effort: Effort) -> float:
    """Requests per second until the last of them has ended; all are there at the start."""
    requests = effort.requests // 2
    workload = Workload((Part(BATCH.name, 1.0, ONE_TURN),), at_once, requests=requests)
    steps = Steps()
    make_engine(system, list(workload.arrivals(1.0, effort.seeds[0], 1.0)), steps).engine.run()
    return requests / steps.seconds


def single_user() -> list[Row]:
    """Time per token of one request, 512 in, 128 out: what is left of an engine when nobody shares it."""
    deployment = CASES[0].deployment(context)
    runs = {
        g.name: run_batch(system_of(replace(deployment, generation=g), 1, 512, 128), 512, 128)
        for g in (TGI_2023, VLLM_2023)
    }
    tgi_s, vllm_s = ((run.seconds - run.prefill_s) / 127 for run in runs.values())
    words = f"{CASES[0].words}, a single user: TGI's tail is better than vLLM's, by how much is not stated"
    return [Row("C/single-user/tgi-to-vllm", words, NO_SOURCE, tgi_s / vllm_s, "x the time per token")]
