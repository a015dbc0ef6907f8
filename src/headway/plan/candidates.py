"""Every way to lay a model out on some devices, and why some of them cannot be."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

from headway.core.limits import Limits
from headway.plan.question import Candidate
from headway.sim.deployment import Deployment
from headway.sim.devices import Device
from headway.sim.fits import Generation
from headway.sim.memory import DoesNotFit
from headway.sim.models import Dimensions
from headway.sim.precision import Precision

endless = 1_000_000  # sequences that may wait: open loop


class Rule(NamedTuple):
    """Who comes first, and how many tokens a step has at most."""

    policy: str
    step_tokens: int


@dataclass(frozen=True, slots=True)
class Ways:
    """What is tried, each with each."""

    tp: Sequence[int]
    pp: Sequence[int]
    weights: Sequence[Precision]
    kv: Sequence[Precision]
    rules: Sequence[Rule]
    gpus: int  # of a replica at most: those of a node
    generation: Generation
    memory_share: float
    max_seqs: int
    max_model_len: int
    block_size: int = 16


class Refused(NamedTuple):
    """A way that is out, and why."""

    device: str
    name: str  # how it would be laid out
    why: str


def candidates(model: Dimensions, devices: Iterable[Device], ways: Ways) -> Iterator[Candidate | Refused]:
    """Raises ValueError for what no device could have, such as a TP that does not divide the model."""
    for device in devices:
        for tp, pp, weights, kv, rule in product(ways.tp, ways.pp, ways.weights, ways.kv, ways.rules):
            if tp * pp > ways.gpus:
                continue
            deployment = Deployment(
                model, device, tp, pp, weights, kv, ways.generation, ways.memory_share,
                step_tokens=rule.step_tokens,
            )  # fmt: skip
            try:
                blocks = deployment.kv_blocks(ways.block_size)
            except DoesNotFit as error:
                yield Refused(device.name, f"TP {tp}, PP {pp}, {weights.value}/{kv.value}", str(error))
                continue
            limits = Limits(
                ways.max_seqs, rule.step_tokens, endless, ways.block_size, blocks, ways.max_model_len
            )
            yield Candidate(deployment, rule.policy, limits)
