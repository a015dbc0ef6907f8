"""A model on devices under an engine: what a step costs, and what fits. The one thing others need of this.

Refuses at once what cannot be. Times come from `cost.py`, bytes from `memory.py`.
"""

from dataclasses import dataclass

from headway.core.types import Batch
from headway.sim.cost import Components, StepCost
from headway.sim.devices import Device
from headway.sim.fits import FAMILIES, HEADWAY, Generation
from headway.sim.interconnect import Link, link_of
from headway.sim.layers import Layout
from headway.sim.memory import activation_bytes, kv_blocks, kv_token_bytes, weight_bytes
from headway.sim.models import Dimensions
from headway.sim.precision import Precision
from headway.sim.utilisation import Utilisation, traffic, utilisation


@dataclass(frozen=True, slots=True)
class Deployment:
    """Raises ValueError for what cannot be: degrees that do not divide the model, links that do not exist."""

    model: Dimensions
    device: Device
    tp: int = 1
    pp: int = 1
    weights: Precision = Precision.BITS16
    kv: Precision = Precision.BITS16
    generation: Generation = HEADWAY
    memory_share: float = 0.9  # of a GPU's memory that is used
    nodes: int = 1  # joined by Ethernet; stages are laid on them first
    link: Link | None = None  # among a stage's GPUs; None: the best that joins them
    sequence_parallel: bool = False  # of degree `tp`, in place of tensor parallelism
    step_tokens: int = 8192  # the most of a step; its activations are kept free

    def __post_init__(self) -> None:
        model, device = self.model, self.device
        if device.family not in FAMILIES:
            known = ", ".join(FAMILIES)
            raise ValueError(f"{device.name}: family {device.family!r} is not known; known: {known}")
        if not 0 < self.memory_share <= 1:
            raise ValueError(f"memory_share {self.memory_share} does not lie between 0 and 1")
        if not 1 <= self.pp <= model.layers:
            raise ValueError(
                f"{model.name}: PP {self.pp} does not lie between 1 and its {model.layers} layers"
            )
        if self.tp not in degrees(model):
            possible = ", ".join(map(str, degrees(model)))
            raise ValueError(
                f"{model.name}: TP {self.tp} does not divide its {model.heads} query heads, {model.kv_heads} "
                f"KV heads and FFN of {model.ffn}; TP can be {possible}"
            )
        if self.nodes < 1 or self.tp * self.pp % self.nodes:
            raise ValueError(f"TP {self.tp} x PP {self.pp} GPUs cannot be laid evenly on {self.nodes} nodes")
        if self.link is Link.NVLINK and link_of(device, self.tp) is not Link.NVLINK:
            raise ValueError(f"{device.name}: NVLink does not join {self.tp} of them")

    @property
    def gpus(self) -> int:
        return self.tp * self.pp

    @property
    def depth(self) -> int:
        """Batches in flight that keep every stage busy."""
        return self.pp

    @property
    def dollars_per_hour(self) -> float:
        return self.gpus * self.device.dollars_per_hour

    @property
    def layout(self) -> Layout:
        split = self.nodes > self.pp or self.pp % self.nodes  # one stage lies on several nodes
        link = Link.ETHERNET if split else self.link or link_of(self.device, self.tp)
        between = Link.ETHERNET if self.nodes > 1 else link_of(self.device, self.gpus)
        return Layout(self.tp, self.pp, link, between, self.sequence_parallel)

    def cost(self) -> StepCost:
        """Seconds that a batch holds the engine: a step, or with PP one stage, of which `depth` overlap."""
        return StepCost(self.model, self.device, self.layout, self.weights, self.kv, self.generation)

    def components(self, batch: Batch) -> Components:
        return self.cost().components(batch)

    def utilisation(self, batch: Batch) -> Utilisation:
        """MBU and MFU of all GPUs. What binds prefill and decode is asked with a batch of each."""
        asked = traffic(self.model, self.weights, self.kv, batch.slices)
        return utilisation(asked, self.device, self.gpus, self.weights, self.cost()(batch))

    def kv_blocks(self, block_size: int) -> int:
        """How many blocks of `block_size` tokens there is room for. Raises DoesNotFit with the numbers."""
        split = 1 if self.sequence_parallel else self.tp
        return kv_blocks(
            self.model,
            self.device,
            self.memory_share * self.device.memory_bytes,
            weight_bytes(self.model, self.weights, split, self.pp),
            activation_bytes(self.model, self.step_tokens, self.tp),
            kv_token_bytes(self.model, self.kv, self.tp, self.pp),
            block_size,
        )


def degrees(model: Dimensions) -> list[int]:
    """The degrees of tensor parallelism that a model can have: whole heads and equal parts on every GPU."""
    return [
        tp
        for tp in range(1, model.heads + 1)
        if model.heads % tp == 0
        and (model.kv_heads % tp == 0 or tp % model.kv_heads == 0)
        and model.ffn % tp == 0
    ]
