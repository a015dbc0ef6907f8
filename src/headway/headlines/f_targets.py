"""F. Targets that people feel: what a chat's p95 and p99 are, batch by batch and policy by policy.

Mistral-7B on an A100-80 under today's engine. Quadrants are those of docs/definitions.md.
"""

from functools import partial
from typing import NamedTuple

from headway.bench.report import Report
from headway.bench.workload import Part, Workload
from headway.core.limits import Limits
from headway.core.memory import paged
from headway.core.policies import POLICIES
from headway.core.slo import BUILT_IN, CHAT
from headway.headlines.rows import Claimed, Effort, Job, Row
from headway.headlines.whole_batches import run_batch, system_of
from headway.headlines.world import block_size, endless
from headway.sim.deployment import Deployment
from headway.sim.devices import A100_80
from headway.sim.models import MISTRAL_7B
from headway.sim.simulate import Trial, simulate

SOURCE = "widely quoted, no primary source found"
PLACE = "Mistral-7B on an A100-80"
BATCHES = (1, 4, 16, 32, 64)
DEPLOYMENT = Deployment(MISTRAL_7B, A100_80)
CHATS = Workload((Part("chat", 1.0, "short"),))
MIX = Workload((Part("chat", 0.6, "short"), Part("interactive", 0.4, "short")))


class Setting(NamedTuple):
    quadrant: str
    policy: str
    max_seqs: int
    step_tokens: int
    rate: float


# Slow or quick by chat's first token, poor or rich by half of the best throughput among these.
SETTINGS = (
    Setting("I, slow and poor", "static", 4, 8192, 30.0),
    Setting("II, quick and modest", "adaptive", 256, 4096, 3.0),
    Setting("III, slow and rich", "stall-free", 128, 2048, 30.0),
    Setting("IV, quick and rich", "adaptive", 256, 4096, 18.0),
)


def jobs(effort: Effort) -> list[Job]:
    bounded = [
        Job(f"adaptive at {rate:g} chats/s", 0.1, partial(bound, rate, effort)) for rate in (4.0, 8.0, 12.0)
    ]
    return [
        Job("batches of 1 to 64, the knee", 0.05, knee),
        *bounded,
        Job("chat and interactive, adaptive", 0.1, partial(interactive, effort)),
        Job("four quadrants", 0.4, partial(quadrants, effort)),
    ]


def knee() -> list[Row]:
    """Time per token and throughput of whole batches; the knee is where their quotient is best."""
    rows, points = [], {}
    for n in BATCHES:
        done = run_batch(system_of(DEPLOYMENT, n, 512, 128), 512, 128)
        token_s, rate = (done.seconds - done.prefill_s) / 127, 128 * n / done.seconds
        points[n] = rate / done.seconds
        place = f"{PLACE}, 512 in, 128 out, batch {n}"
        rows += [
            Row(f"F/batch/{n}/throughput", f"{place}: throughput not stated", SOURCE, rate, "tokens/s"),
            Row(
                f"F/batch/{n}/itl",
                f"{place}: under 100 ms between tokens",
                SOURCE,
                1e3 * token_s,
                "ms",
                (0.0, 100.0),
            ),
            Row(f"F/batch/{n}/ttft", f"{place}: first token not stated", SOURCE, 1e3 * done.prefill_s, "ms"),
        ]
    best = max(points, key=lambda n: points[n])
    words = f"{PLACE}: the batch with the most throughput over latency, not stated"
    return [*rows, Row("F/batch/knee", words, SOURCE, best, "requests")]


def serve(workload: Workload, setting: Setting, effort: Effort) -> Report:
    window_s = 60.0 if effort.quick else 240.0
    trial = Trial(workload, BUILT_IN, DEPLOYMENT.cost(), paged, window_s, window_s + 60.0)
    blocks = DEPLOYMENT.kv_blocks(block_size)
    limits = Limits(
        setting.max_seqs, setting.step_tokens, endless, block_size, blocks, 8192, prefix_cache=False
    )
    return simulate(trial, POLICIES[setting.policy](), limits, setting.rate, effort.seeds[0])


def bound(rate: float, effort: Effort) -> list[Row]:
    """Adaptive promises chat's p95; what the p99 does is told beside."""
    line = serve(CHATS, Setting("", "adaptive", 256, 4096, rate), effort).classes["chat"]
    place = f"{PLACE}, adaptive, {rate:g} chats/s of 300-500 tokens"
    assert line.ttft is not None, "nobody was answered"
    assert line.itl is not None, "nobody was answered"
    ttft: Claimed = (0.0, 1e3 * (CHAT.ttft_p95_s or 0.0))
    itl: Claimed = (0.0, 1e3 * (CHAT.itl_p95_s or 0.0))
    id = f"F/adaptive/{rate:g}"
    return [
        Row(
            f"{id}/ttft-p95",
            f"{place}: p95 TTFT within 200 to 300 ms",
            SOURCE,
            1e3 * line.ttft.p95,
            "ms",
            ttft,
        ),
        Row(f"{id}/ttft-p99", f"{place}: p99 TTFT, not stated", SOURCE, 1e3 * line.ttft.p99, "ms"),
        Row(f"{id}/itl-p95", f"{place}: p95 ITL within 100 ms", SOURCE, 1e3 * line.itl.p95, "ms", itl),
        Row(f"{id}/itl-p99", f"{place}: p99 ITL, not stated", SOURCE, 1e3 * line.itl.p99, "ms"),
        Row(
            f"{id}/attainment",
            f"{place}: 95 % meet every target",
            SOURCE,
            100 * line.attainment,
            "%",
            (95.0, 100.0),
        ),
    ]


def interactive(effort: Effort) -> list[Row]:
    report = serve(MIX, Setting("", "adaptive", 256, 4096, 6.0), effort)
    e2e = report.classes["interactive"].e2e
    assert e2e is not None, "nobody was answered"
    place = f"{PLACE}, adaptive, 6 requests/s, four in ten interactive"
    return [
        Row("F/interactive/e2e-p95", f"{place}: answers in 0.5 to 2 s", SOURCE, e2e.p95, "s", (0.0, 2.0)),
        Row("F/interactive/goodput", f"{place}: goodput, not stated", SOURCE, report.goodput, "requests/s"),
    ]


def quadrants(effort: Effort) -> list[Row]:
    """Where each of four settings lies; all four quadrants are there if each lies in its own."""
    found = []
    for setting in SETTINGS:
        line = serve(CHATS, setting, effort).classes["chat"]
        assert line.ttft is not None, "nobody was answered"
        found.append((line.ttft.p95, line.complete_tokens / line.requests * _rate(line.requests, effort)))
    best = max(rate for _, rate in found)
    assert CHAT.ttft_p95_s is not None
    rows, right = [], 0
    for setting, (ttft_s, rate) in zip(SETTINGS, found, strict=True):
        slow, rich = ttft_s > CHAT.ttft_p95_s, rate >= best / 2
        lies = {(True, False): "I", (False, False): "II", (True, True): "III", (False, True): "IV"}[
            slow, rich
        ]
        right += setting.quadrant.split(",")[0] == lies
        name = f"{PLACE}, {setting.policy} at {setting.rate:g} chats/s"
        note = f"p95 TTFT {1e3 * ttft_s:,.0f} ms: quadrant {lies}"
        id = f"F/quadrant/{setting.quadrant.split(',')[0].lower()}"
        rows.append(
            Row(
                id,
                f"{name}, for quadrant {setting.quadrant}: throughput not stated",
                SOURCE,
                rate,
                "tokens/s",
                note=note,
            )
        )
    return [*rows, Row("F/quadrants", "four settings lie in four quadrants", SOURCE, right, "quadrants", 4.0)]


def _rate(requests: int, effort: Effort) -> float:
    return requests / (60.0 if effort.quick else 240.0)
