"""D. What better hardware buys: H100, more GPUs, NVLink, fewer bits."""

from dataclasses import replace
from functools import partial
from itertools import pairwise

from headway.headlines.rows import Claimed, Effort, Job, Row
from headway.headlines.whole_batches import Run, run_batch, system_of
from headway.sim.deployment import Deployment
from headway.sim.devices import device
from headway.sim.fits import FASTER_TRANSFORMER, HEADWAY
from headway.sim.interconnect import Link
from headway.sim.models import model
from headway.sim.precision import Precision

MOSAIC = "MosaicML/Databricks, LLM Inference Performance Engineering, 2023"
SEED = "widely quoted, no primary source found"
FRONTIER = (1, 2, 4, 8, 16, 32, 64, 128, 256)  # batches


def jobs(effort: Effort) -> list[Job]:
    frontiers = [
        Job(f"Blackwell, {bits}", 0.1, partial(blackwell, bits)) for bits in (Precision.FP8, Precision.FP4)
    ]
    return [
        Job("H100 beside A100", 0.02, generations),
        Job("TP 2 beside 4", 0.02, degrees),
        Job("NVLink beside PCIe", 0.02, links),
        *frontiers,
    ]


def run(deployment: Deployment, sequences: int, inputs: int, outputs: int) -> Run:
    return run_batch(system_of(deployment, sequences, inputs, outputs), inputs, outputs)


def _saved(id: str, words: str, source: str, before_s: float, after_s: float, claimed: Claimed) -> Row:
    return Row(f"D/{id}", words, source, 100 * (1 - after_s / before_s), "% less", claimed)


def generations() -> list[Row]:
    """One request, from its prompt to its last token."""
    rows = []
    for name in ("Llama2-7B", "Llama3-8B"):
        a100, h100 = (
            run(Deployment(model(name), device(on), generation=HEADWAY), 1, 512, 64).seconds
            for on in ("A100-80", "H100")
        )
        words = f"{name}, H100 in place of A100-80, batch 1: 35 to 45 % less time per token"
        rows.append(_saved(f"h100/{name.lower()}", words, MOSAIC, a100, h100, (35.0, 45.0)))
    return rows


def degrees() -> list[Row]:
    rows = []
    for sequences, claimed in ((1, 12.0), (16, 33.0)):
        two, four = (
            run(
                Deployment(model("MPT-7B"), device("A100-40"), tp, generation=FASTER_TRANSFORMER),
                sequences,
                128,
                64,
            )
            for tp in (2, 4)
        )
        place = f"MPT-7B, A100-40, TP 2 to 4, 128 in, 64 out, batch {sequences}"
        words = f"{place}: {claimed:g} % less time per token"
        rows.append(_saved(f"tp/{sequences}", words, MOSAIC, two.seconds, four.seconds, claimed))
    return rows


def links() -> list[Row]:
    rows = []
    for name in ("A100-80", "H100"):
        pcie, nvlink = (
            run(Deployment(model("Llama2-70B"), device(name), 4, link=link), 16, 512, 64).seconds
            for link in (Link.PCIE, Link.NVLINK)
        )
        words = (
            f"Llama2-70B, TP 4 on {name}, 16 requests, NVLink in place of PCIe: 20 to 30 % less end to end"
        )
        rows.append(_saved(f"nvlink/{name.lower()}", words, SEED, pcie, nvlink, (20.0, 30.0)))
    return rows


def blackwell(bits: Precision) -> list[Row]:
    """How far the frontier of throughput against time per token moves, at 16 bit's batch of 32."""
    wide = Deployment(model("Llama2-70B"), device("B200"), 2)
    narrow = replace(wide, weights=bits, kv=bits)
    rate, token_s = _frontier(wide)[FRONTIER.index(32)]
    points = _frontier(narrow)
    at_rate_s = _between(points, rate)
    at_pace = _between([(s, r) for r, s in points], token_s)
    place = f"Llama2-70B on two B200, {bits} in place of 16 bit"
    softer = f"{place}: the trade-off softens by about 30 % (time per token at equal throughput)"
    richer = f"{place}: throughput at equal time per token, not stated"
    return [
        _saved(f"blackwell/{bits}/time", softer, SEED, token_s, at_rate_s, 30.0),
        Row(f"D/blackwell/{bits}/throughput", richer, SEED, 100 * (at_pace / rate - 1), "% more"),
    ]


def _frontier(deployment: Deployment) -> list[tuple[float, float]]:
    """Output tokens a second, and seconds per token, by batch: 1,024 in, 64 out."""
    points = []
    for sequences in FRONTIER:
        done = run(deployment, sequences, 1024, 64)
        decode_s = (done.seconds - done.prefill_s) / 63
        points.append((sequences / decode_s, decode_s))
    return points


def _between(points: list[tuple[float, float]], x: float) -> float:
    """Straight between two points; beyond them, the nearest's."""
    points = sorted(points)
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 <= x <= x1:
            return y0 + (y1 - y0) * (x - x0) / (x1 - x0)
    return points[0][1] if x < points[0][0] else points[-1][1]
