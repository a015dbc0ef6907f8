"""What is tuned: the settings of `headway serve` that say who runs and how long a step may be, and those of
them that are worth a trial for each use.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from headway.bench.workload import NAMED, SMALL, Part, Workload
from headway.config import Settings

most_budget, most_seqs = 4096, 256
other_block_size = 64  # measured with the best settings: what a simulation knows of steps it has no part in


class Tuned(NamedTuple):
    policy: str
    budget: int  # tokens of a step, at most
    max_seqs: int
    block_size: int = 16

    @property
    def settings(self) -> dict[str, str | int]:
        """As a config file has them."""
        return {
            "policy": self.policy,
            "max-num-batched-tokens": self.budget,
            "max-num-seqs": self.max_seqs,
            "block-size": self.block_size,
        }

    @property
    def flags(self) -> list[str]:
        return [word for key, value in self.settings.items() for word in (f"--{key}", str(value))]

    def __str__(self) -> str:
        return f"{self.policy}, {self.budget} tokens, {self.max_seqs} sequences, blocks of {self.block_size}"


class Use(NamedTuple):
    """What a model is for: who asks, and where the search begins. One of the three ways in which models are
    deployed, or a mix of them."""

    workload: Workload
    sizes: tuple[int, ...]  # sequences at a time
    budgets: tuple[int, ...] = (64, 256, 1024)
    policies: tuple[str, ...] = ("adaptive", "stall-free", "decode-first", "prefill-first")
    at_once: bool = False  # all is there from the start, and tokens per second are what counts


def _alone(service_class: str, lengths: str) -> Workload:
    return Workload((Part(service_class, 1.0, lengths),))


_throughput = ("stall-free", "decode-first", "prefill-first")
USES: Mapping[str, Use] = {
    "chat": Use(_alone("chat", "small-chat"), (1, 4, 16)),
    "interactive": Use(_alone("interactive", "small-task"), (4, 16)),
    "batch": Use(
        _alone("batch", "small-document"), (8, 32, 128), (256, 1024, 4096), _throughput, at_once=True
    ),
    "mix": Use(NAMED[SMALL], (8, 32)),
}


def usual() -> Tuned:
    """What `headway serve` has when nothing is said."""
    of = Settings()
    return Tuned(of.policy_name, of.max_num_batched_tokens, of.max_num_seqs, of.block_size)


def grid(use: Use) -> list[Tuned]:
    """Where the search begins, and what there is without one. A step has room for every sequence's token."""
    tried = (Tuned(p, b, s) for p in use.policies for b in use.budgets for s in use.sizes)
    return list(dict.fromkeys([*(tuned for tuned in tried if tuned.budget >= tuned.max_seqs), usual()]))


def near(tuned: Tuned) -> Iterator[Tuned]:
    """Half and twice of each figure, as far as they go together."""
    for budget in (tuned.budget // 2, tuned.budget * 2):
        if tuned.max_seqs <= budget <= most_budget:
            yield tuned._replace(budget=budget)
    for seqs in (tuned.max_seqs // 2, tuned.max_seqs * 2):
        if 1 <= seqs <= min(tuned.budget, most_seqs):
            yield tuned._replace(max_seqs=seqs)
