"""What a decoder is put together from, chosen once, when it is built: torch's own parts, or kernels of ours.

Owns the seam and the plain choice, which every other one is compared with. Knows no family: the decoder asks
for what its spec says, and calls what it is given.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from headway.model.inputs import StepInputs
from headway.model.kv import KVCache
from headway.model.layers import ACTIVATIONS, Linear, Norm, RMSNorm
from headway.model.mixing import PlainMixing
from headway.spec import ModelSpec, Rope
from headway.spec.model import Activation

Map = Callable[[Tensor], Tensor]
"""From rows [T, in] to rows [T, out]."""


class Mixer(Protocol):
    """One layer's attention between its two projections."""

    def __call__(self, qkv: Tensor, step: Mapping[Any, Any], cache: Tensor) -> Tensor:
        """qkv [T, (heads + 2 kv_heads) * D] -> [T, heads * D]; K and V are in the cache afterwards."""
        ...


class Mixing(Protocol):
    """How tokens see each other. What `plan` gives is for the mixers of the same object."""

    def mixer(self, window: int | None, rope: Rope, norms: tuple[Tensor, Tensor] | None) -> Mixer:
        """For a layer. `norms`: weights [D] of queries' and keys' RMS norm, where the family has it."""
        ...

    def plan(self, inputs: StepInputs, kv: KVCache) -> Mapping[Any, Any]:
        """What all layers share in one step."""
        ...


class Parts(NamedTuple):
    """Makers of a layer's parts. Whoever takes a weight may repack it."""

    linear: Callable[[Tensor, Tensor | None], Map]
    rms_norm: Callable[[Tensor, float], Norm]
    gate: Callable[[Activation], Map]  # of rows [gate, up]: act(gate) * up
    mixing: Mixing


def plain_parts(spec: ModelSpec) -> Parts:
    """Everything by torch: on any machine, for every family and dtype."""
    return Parts(Linear, RMSNorm, plain_gate, PlainMixing(spec))


def plain_gate(activation: Activation) -> Map:
    act = ACTIVATIONS[activation]

    def gated(gate_up: Tensor) -> Tensor:
        gate, up = gate_up.chunk(2, dim=-1)
        return act(gate).mul_(up)

    return gated
