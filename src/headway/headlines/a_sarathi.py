"""A. Chunked prefills against prompts that interrupt (Sarathi-Serve, OSDI 2024): what rate each holds.

All three run on the same engine, as in the paper; what differs is the scheduler.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from statistics import median
from typing import NamedTuple

from headway.bench.lengths import LENGTHS, Lengths
from headway.headlines.rows import Effort, Job, Row
from headway.headlines.serving import Goal, capacity_of
from headway.headlines.world import System
from headway.sim.deployment import Deployment
from headway.sim.devices import device
from headway.sim.fits import SARATHI_SERVE
from headway.sim.models import model

SOURCE = "Agrawal et al., Sarathi-Serve, OSDI 2024"
memory_share = 0.85  # of a GPU's memory that is used
strict_tokens, relaxed_tokens = 512, 2048  # Sarathi's budgets


class Case(NamedTuple):
    id: str
    words: str
    deployment: Deployment
    strict_s: float  # P99 between tokens
    relaxed_s: float
    guess: float  # requests a second, from where capacity is searched
    relaxed_tokens: int = relaxed_tokens
    orca_seqs: int = 16


def _case(
    id: str, words: str, model_name: str, device_name: str, tp: int, pp: int, nodes: int = 1
) -> tuple[str, str, Deployment]:
    deployment = Deployment(
        model(model_name), device(device_name), tp, pp, generation=SARATHI_SERVE, memory_share=memory_share,
        nodes=nodes,
    )  # fmt: skip
    return id, words, deployment


CASES = (
    Case(*_case("mistral", "Mistral-7B on an A100-80", "Mistral-7B", "A100-80-PCIe", 1, 1), 0.1, 0.5, 1.5),
    Case(*_case("yi", "Yi-34B on two A100-80, TP2", "Yi-34B", "A100-80-PCIe", 2, 1), 0.2, 1.0, 0.6),
    Case(
        *_case("llama", "Llama2-70B on eight A40, TP4-PP2", "Llama2-70B", "A40", 4, 2),
        1.0, 5.0, 0.4, relaxed_tokens=1536, orca_seqs=8,
    ),
    Case(
        *_case("falcon-pp", "Falcon-180B on two nodes of four A100-80, TP4-PP2", "Falcon-180B",
               "A100-80-PCIe", 4, 2, nodes=2),
        1.0, 5.0, 0.3, orca_seqs=8,
    ),
    Case(
        *_case("falcon-tp", "Falcon-180B on two nodes of four A100-80, TP8", "Falcon-180B", "A100-80-PCIe",
               8, 1, nodes=2),
        1.0, 5.0, 0.15, orca_seqs=8,
    ),
)  # fmt: skip

# A workload's lengths, and the longest sequence of a model that serves it.
WORKLOADS: Mapping[str, tuple[Lengths, int]] = {
    "sharegpt": (replace(LENGTHS["sharegpt"], most_together=8192), 8192),
    "arxiv": (LENGTHS["arxiv"], 16_384),
}

# By case, workload and bound, where they are stated: vLLM's and Sarathi's requests a second, their ratio.
CLAIMED: Mapping[tuple[str, str, str], tuple[float, float, float]] = {
    ("mistral", "sharegpt", "strict"): (0.78, 2.05, 2.6),
    ("mistral", "sharegpt", "relaxed"): (1.57, 2.25, 1.4),
}


def jobs(effort: Effort) -> list[Job]:
    """One for each case, workload and bound. In a hurry, chat's lengths alone."""
    found = []
    for case in CASES:
        for workload in ("sharegpt",) if effort.quick else WORKLOADS:
            for bound in ("strict", "relaxed"):
                label = f"{case.words}, {workload}, {bound}"
                own = effort
                if (case.id, workload, bound) not in CLAIMED:  # nothing to judge: one seed
                    requests = effort.requests // 2 if effort.quick else effort.requests
                    own = effort._replace(seeds=effort.seeds[:1], requests=requests)
                run = partial(compare, case, workload, bound, own)
                found.append(Job(label, len(own.seeds) * own.requests * case.guess, run))
    return found


def compare(case: Case, workload: str, bound: str, effort: Effort) -> list[Row]:
    """Medians over the seeds, and of each seed's ratio."""
    lengths, max_model_len = WORKLOADS[workload]
    strict = bound == "strict"
    goal = Goal(case.strict_s if strict else case.relaxed_s)
    budget = strict_tokens if strict else case.relaxed_tokens
    deployment = replace(case.deployment, step_tokens=max_model_len)
    whole = case.orca_seqs * max_model_len  # prompts are not cut
    systems = {
        "vLLM": System(deployment, "prefill-first", 128, max_model_len, max_model_len),
        "Orca": System(
            deployment, "stall-free", case.orca_seqs, whole, max_model_len, memory="reserved-context"
        ),
        "Sarathi": System(deployment, "stall-free", 128, budget, max_model_len),
    }
    found: dict[str, list[float]] = {}
    guess = case.guess
    for name, system in systems.items():
        found[name] = []
        for seed in effort.seeds:
            held = capacity_of(system, lengths, goal, effort, seed, guess)
            guess = held or guess  # the next seed's is near
            found[name].append(held)
    return _rows(case, workload, f"{bound}, P99 ITL {goal.gap_s:g} s", bound, found)


def _rows(case: Case, workload: str, words: str, bound: str, found: Mapping[str, list[float]]) -> list[Row]:
    claimed = CLAIMED.get((case.id, workload, bound))
    place = f"{case.words}, {workload}, {words}"
    rows = []
    for name, rates in found.items():
        stated = {"vLLM": claimed[0], "Sarathi": claimed[1]}.get(name) if claimed else None
        said = "not stated" if stated is None else f"{stated:g} requests/s"
        id = f"A/{case.id}/{workload}/{bound}/{name.lower()}"
        rows.append(Row(id, f"{place}: {name} {said}", SOURCE, median(rates), "requests/s", stated))
    for name in ("vLLM", "Orca"):
        if not all(found[name]):
            continue  # it holds no rate at all
        ratios = [ours / theirs for ours, theirs in zip(found["Sarathi"], found[name], strict=True)]
        stated = claimed[2] if claimed and name == "vLLM" else None
        said = "not stated" if stated is None else f"{stated:g}x"
        id = f"A/{case.id}/{workload}/{bound}/sarathi-to-{name.lower()}"
        rows.append(Row(id, f"{place}: Sarathi over {name} {said}", SOURCE, median(ratios), "x", stated))
    return rows


def best_of_falcon(rows: Sequence[Row]) -> list[Row]:
    """The headline: the most that Sarathi on a pipeline gains over vLLM, on either of the two layouts."""
    rates = {row.id: row.ours for row in rows}
    said = {
        "pp": (5.6, "TP4-PP2", "up to 5.6x (final text, with pipeline parallelism)"),
        "tp": (6.9, "TP8", "6.9x (first version's abstract)"),
    }
    found = []
    for layout, (claimed, split, words) in said.items():
        gains = [
            rate / rates[f"A/falcon-{layout}/{workload}/{bound}/vllm"]
            for workload in WORKLOADS
            for bound in ("strict", "relaxed")
            if (rate := rates.get(f"A/falcon-pp/{workload}/{bound}/sarathi"))
            and rates[f"A/falcon-{layout}/{workload}/{bound}/vllm"]
        ]
        if gains:
            claim = f"Falcon-180B on eight A100-80, Sarathi on TP4-PP2 over vLLM on {split}: {words}"
            found.append(Row(f"A/falcon/best/over-{layout}", claim, SOURCE, max(gains), "x", claimed))
    return found
