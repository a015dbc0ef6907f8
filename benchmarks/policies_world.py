"""The world that policies are compared in: one model, one device, and the configurations that are tried."""

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from headway.bench.report import Report
from headway.bench.workload import CLASSES, WORKLOADS, Load
from headway.core.limits import Limits
from headway.core.memory import paged
from headway.core.policies import POLICIES, Policy
from headway.sim.capacity import attained
from headway.sim.devices import A100_80
from headway.sim.models import MISTRAL_7B
from headway.sim.simple_roofline import PRESENT, roofline
from headway.sim.simulate import Trial, simulate

memory_use, weights_bytes, block_size, max_model_len = 0.9, 14.5e9, 16, 16_384
blocks = int((memory_use * A100_80.memory_bytes - weights_bytes) / (MISTRAL_7B.kv_bytes * block_size))


@dataclass(frozen=True, slots=True)
class Effort:
    """Requests that arrive within the window are judged, at the horizon: a chat answer of 1,024 tokens at
    100 ms ends within the 120 s between them.
    """

    seeds: tuple[int, ...]
    window_s: float
    horizon_s: float

    @property
    def of_search(self) -> "Effort":
        return Effort(self.seeds, min(self.window_s, 300.0), min(self.horizon_s, 420.0))

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


FULL = Effort((1, 2, 3), 600.0, 720.0)
QUICK = Effort((1, 2, 3), 240.0, 360.0)


class Configuration(NamedTuple):
    policy: str
    budget: int  # tokens of a step, at most
    max_seqs: int
    by_level: bool = False  # else by arrival

    def make(self) -> Policy:
        policy = POLICIES[self.policy]()
        if self.by_level:
            policy.heeds_levels = True
        return policy

    def limits(self) -> Limits:
        """The queue is endless, and no two prompts begin alike, so the index would find nothing."""
        return Limits(
            self.max_seqs, self.budget, 1_000_000, block_size, blocks, max_model_len, prefix_cache=False
        )


# What each was published with: FasterTransformer's batch by hand; vLLM of 2023; Sarathi-Serve's strict
# setting. Those that choose their own budget get room to.
_published = {
    "static": Configuration("static", 8192, 64),
    "prefill-first": Configuration("prefill-first", 8192, 128),
    "decode-first": Configuration("decode-first", 8192, 128),
    "stall-free": Configuration("stall-free", 512, 128),
}
DEFAULTS = {name: _published.get(name, Configuration(name, 4096, 256)) for name in POLICIES}

FIXED = [
    Configuration(policy, budget, max_seqs, by_level)
    for policy in ("stall-free", "prefill-first")
    for by_level in (False, True)
    for max_seqs in (128, 256, 64)
    for budget in (1024, 512, 2048, 256, 4096)
]


def simulated(
    workload: str,
    configuration: Configuration,
    rate: float,
    seed: int,
    effort: Effort,
    *,
    decided: bool = False,
) -> Report:
    """`decided`: end as soon as it cannot hold any more."""
    tolerated = 1 - attained if decided else 1.0
    asked = trial(WORKLOADS[workload], effort)
    return simulate(asked, configuration.make(), configuration.limits(), rate, seed, tolerated=tolerated)


def trial(workload: Load, effort: Effort) -> Trial:
    cost = roofline(MISTRAL_7B, A100_80, PRESENT)
    return Trial(workload, CLASSES, cost, paged, effort.window_s, effort.horizon_s)
