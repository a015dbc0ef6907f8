"""A plan as plain numbers under names, as `--json` has them, and as rows of a table."""

from collections.abc import Mapping
from typing import Any

from headway.plan import words
from headway.plan.plan import Choice, Plan
from headway.plan.question import Candidate, Question
from headway.plan.search import Capacity, Layout

columns = (
    "device", "GPUs", "layout", "requests/s", "replicas", "$/h", "$/M tokens", "$/1,000 good", "TTFT p95",
    "ITL p95", "in communication", "what binds",
)  # fmt: skip


def row(choice: Choice) -> tuple[str, ...]:
    """Under `columns`. Requests per second are one replica's, dollars those of all."""
    at = choice.look
    span = "" if choice.interval is None else f" ({choice.interval[0]:.3g}-{choice.interval[1]:.3g})"
    return (
        choice.device,
        str(choice.candidate.deployment.gpus * choice.replicas),
        choice.candidate.name,
        f"{choice.capacity:.3g}{span}",
        str(choice.replicas),
        f"{choice.dollars_per_hour:,.4g}",
        f"{choice.per_million_tokens:.3g}",
        f"{choice.per_thousand_good:.3g}",
        words.seconds(at.points[-1].ttft_p95_s),
        words.seconds(at.points[-1].itl_p95_s),
        f"{100 * at.spent.communication:.0f} %",
        words.bound(choice),
    )


def figures(plan: Plan, question: Question) -> dict[str, Any]:
    """Seconds and dollars; requests per second. None: there is no such thing."""
    return {
        "promises": words.promises(plan, question),
        "recommendation": words.recommendation(plan, question),
        "intervals": words.interval_words(plan, question),
        "wanted_rate": question.rate,
        "seeds": list(question.seeds),
        "choices": [_choice(choice) for choice in plan.choices],
        "refused": [each._asdict() for each in plan.refused],
    }


def _choice(choice: Choice) -> dict[str, Any]:
    return {
        "device": choice.device,
        **_candidate(choice.candidate),
        "capacity": choice.capacity,
        "interval": choice.interval,
        "replicas": choice.replicas,
        "dollars_per_hour": choice.dollars_per_hour,
        "dollars_per_million_tokens": choice.per_million_tokens,
        "dollars_per_thousand_good": choice.per_thousand_good,
        "binds": words.bound(choice),
        "seeds": [_seed(seed) for seed in choice.seeds],
        "points": [point._asdict() for point in choice.look.points],
        "spent": choice.look.spent._asdict(),
        "tp_or_pp": words.against(choice),
        "layouts": [_layout(layout) for layout in choice.layouts],
    }


def _candidate(of: Candidate) -> dict[str, Any]:
    deployment = of.deployment
    return {
        "tp": deployment.tp,
        "pp": deployment.pp,
        "policy": of.policy,
        "max_num_batched_tokens": of.limits.max_step_tokens,
        "max_num_seqs": of.limits.max_seqs,
        "weights": deployment.weights.value,
        "kv": deployment.kv.value,
        "kv_tokens": of.kv_tokens,
        "replica_dollars_per_hour": of.dollars_per_hour,
    }


def _seed(of: Capacity) -> Mapping[str, Any]:
    return {
        "capacity": of.rate,
        "missed_above": None if of.missed is None else str(of.missed),
    }


def _layout(of: Layout) -> Mapping[str, Any]:
    return {
        "tp": of.candidate.deployment.tp,
        "pp": of.candidate.deployment.pp,
        **of.point._asdict(),
        "spent": of.spent._asdict(),
        "strain": of.strain,
    }
