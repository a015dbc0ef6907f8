"""What is asked of a plan, and what may answer it. All of it can be sent to another process."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil, floor

from headway.bench.workload import Load
from headway.core.limits import Limits
from headway.core.slo import ServiceClass
from headway.sim.deployment import Deployment


@dataclass(frozen=True, slots=True)
class Candidate:
    """One replica: a model on GPUs of one kind under the engine's scheduler."""

    deployment: Deployment
    policy: str
    limits: Limits

    @property
    def dollars_per_hour(self) -> float:
        return self.deployment.dollars_per_hour

    @property
    def kv_tokens(self) -> int:
        return self.limits.blocks * self.limits.block_size

    @property
    def name(self) -> str:
        """How it is laid out, without the device."""
        of = self.deployment
        return (
            f"TP {of.tp}, PP {of.pp}, {self.policy} {self.limits.max_step_tokens}, "
            f"{of.weights.value}/{of.kv.value}"
        )


@dataclass(frozen=True, slots=True)
class Question:
    load: Callable[[], Load]  # makes it: how arrivals are drawn cannot be sent, so each process makes its own
    classes: Mapping[str, ServiceClass]
    seeds: tuple[int, ...]  # of each the capacity is searched for
    rate: float | None = None  # requests per second that are wanted; None: any, at the least for each

    def bill(self, candidate: Candidate, rate: float) -> float:
        """Dollars an hour for each request per second, where a replica holds `rate`, above 0. Whoever wants a
        certain rate pays for whole replicas.
        """
        if self.rate is None:
            return candidate.dollars_per_hour / rate
        return candidate.dollars_per_hour * ceil(self.rate / rate) / self.rate

    def rate_for(self, candidate: Candidate, bill: float) -> float | None:
        """What a replica must hold for its bill to be no more than this one. None: one alone costs more."""
        if self.rate is None:
            return candidate.dollars_per_hour / bill
        replicas = floor(bill * self.rate / candidate.dollars_per_hour)
        return self.rate / replicas if replicas else None
