"""A decoder's parts by kernels of ours, where they cover what its spec says; the rest is torch's.

Owns the way from tensors to addresses, and every check that stands before C: once a step, not once a layer.
"""

from collections.abc import Mapping
from ctypes import byref
from typing import NamedTuple

import torch
from torch import Tensor

from headway.kernels import library
from headway.kernels.library import Attention, Kernels, Turn
from headway.model.inputs import StepInputs
from headway.model.kv import KVCache
from headway.model.layers import Norm
from headway.model.mixing import PlainMixing
from headway.model.parts import Map, Mixing, Parts, plain_gate
from headway.model.rope import cosines_and_sines
from headway.spec import ModelSpec, Rope
from headway.spec.model import Activation

LEAST_DIM = 8  # a head's dimension is a multiple of it


def native_parts(spec: ModelSpec, kernels: Kernels) -> Parts:
    """For float32 weights on a CPU."""

    def linear(weight: Tensor, bias: Tensor | None) -> Map:
        return NativeLinear(kernels, weight, bias)

    def rms_norm(weight: Tensor, eps: float) -> Norm:
        return NativeNorm(kernels, weight, eps)

    def gate(activation: Activation) -> Map:
        return NativeGate(kernels) if activation == "silu" else plain_gate(activation)

    mixing: Mixing = NativeMixing(spec, kernels) if spec.head_dim % LEAST_DIM == 0 else PlainMixing(spec)
    return Parts(linear, rms_norm, gate, mixing)


class NativeLinear:
    """y = x W^T + b, with W [out, in] laid out once in panels."""

    def __init__(self, kernels: Kernels, weight: Tensor, bias: Tensor | None) -> None:
        outputs, self._inputs = weight.shape
        assert bias is None or bias.shape == (outputs,)
        self._packed = _in_panels(weight, kernels.panel)
        self._bias = None if bias is None else _plain(bias)
        at = None if self._bias is None else self._bias.data_ptr()
        self._call, self._outputs = kernels.linear, outputs
        self._map = library.Linear(self._inputs, outputs, self._packed.data_ptr(), at)

    def __call__(self, x: Tensor) -> Tensor:
        rows, inputs = x.shape
        assert inputs == self._inputs
        out = x.new_empty(rows, self._outputs)
        self._call(byref(self._map), _address(x), out.data_ptr(), rows)
        return out


class NativeNorm:
    """Addition and RMS norm in one pass over the rows."""

    def __init__(self, kernels: Kernels, weight: Tensor, eps: float) -> None:
        self._call, self._weight, self._eps = kernels.add_norm, _plain(weight), eps

    def __call__(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        rows, width = x.shape
        assert width == len(self._weight)
        assert added is None or added.shape == x.shape
        out = torch.empty_like(x)
        self._call(
            _address(x), None if added is None else _address(added), self._weight.data_ptr(), self._eps,
            out.data_ptr(), rows, width,
        )  # fmt: skip
        return out


class NativeGate:
    """silu(gate) * up in one pass."""

    def __init__(self, kernels: Kernels) -> None:
        self._call = kernels.silu_gate

    def __call__(self, gate_up: Tensor) -> Tensor:
        rows, both = gate_up.shape
        assert both % 2 == 0
        out = gate_up.new_empty(rows, both // 2)
        self._call(_address(gate_up), out.data_ptr(), rows, both // 2)
        return out


class Shared(NamedTuple):
    """What layers of one kind share in a step: plans, and the tensors that these point into."""

    attention: Attention
    turn: Turn
    kept: tuple[Tensor, ...]


NativeStep = Mapping[tuple[int | None, Rope], Shared]


class NativeMixing:
    """Heads are turned and written to the cache in one call, and all sequences mixed in another."""

    def __init__(self, spec: ModelSpec, kernels: Kernels) -> None:
        self._spec, self._kernels = spec, kernels
        self._kinds = set(zip(spec.windows, spec.ropes, strict=True))

    def mixer(self, window: int | None, rope: Rope, norms: tuple[Tensor, Tensor] | None) -> "NativeMixer":
        return NativeMixer(self._spec, self._kernels, (window, rope), norms)

    def plan(self, inputs: StepInputs, kv: KVCache) -> NativeStep:
        slices, tables = _checked(inputs, kv, self._spec)
        turns = {
            rope: cosines_and_sines(rope, inputs.positions, self._spec.head_dim)
            for rope in {rope for _, rope in self._kinds}
        }
        return {kind: self._shared(kind, inputs, kv, slices, tables, turns[kind[1]]) for kind in self._kinds}

    def _shared(
        self,
        kind: tuple[int | None, Rope],
        inputs: StepInputs,
        kv: KVCache,
        slices: Tensor,
        tables: Tensor,
        turns: tuple[Tensor, Tensor],
    ) -> Shared:
        spec = self._spec
        cos, sin = (part.contiguous() for part in turns)
        slots = inputs.slots.contiguous()
        attention = Attention(
            spec.heads, spec.kv_heads, spec.head_dim, kv.block_size, kind[0] or 0, len(slices),
            slices.data_ptr(), tables.data_ptr(), spec.attention_scale,
        )  # fmt: skip
        turn = Turn(
            len(slots), spec.heads, spec.kv_heads, spec.head_dim, slots.data_ptr(), cos.data_ptr(),
            sin.data_ptr(), None, None, spec.norm_eps,
        )  # fmt: skip
        return Shared(attention, turn, (slices, tables, slots, cos, sin))


class NativeMixer:
    """One layer's."""

    def __init__(
        self,
        spec: ModelSpec,
        kernels: Kernels,
        kind: tuple[int | None, Rope],
        norms: tuple[Tensor, Tensor] | None,
    ) -> None:
        self._turn, self._attend, self._kind = kernels.turn, kernels.attend, kind
        self._mixed = spec.heads * spec.head_dim
        self._width = self._mixed + 2 * spec.kv_heads * spec.head_dim
        assert norms is None or all(norm.shape == (spec.head_dim,) for norm in norms)
        self._norms = None if norms is None else tuple(_plain(norm) for norm in norms)

    def __call__(self, qkv: Tensor, step: NativeStep, cache: Tensor) -> Tensor:
        attention, turn, _ = step[self._kind]
        assert qkv.shape == (turn.rows, self._width)
        rows, keys = _address(qkv), _address(cache)
        values = keys + cache.nbytes // 2
        turn.q_norm, turn.k_norm = self._norms_at()
        self._turn(byref(turn), rows, keys, values)
        out = qkv.new_empty(turn.rows, self._mixed)
        self._attend(byref(attention), rows, keys, values, out.data_ptr())
        return out

    def _norms_at(self) -> tuple[int | None, int | None]:
        if self._norms is None:
            return None, None
        q_norm, k_norm = self._norms
        return q_norm.data_ptr(), k_norm.data_ptr()


def _checked(inputs: StepInputs, kv: KVCache, spec: ModelSpec) -> tuple[Tensor, Tensor]:
    """int64 [sequences, 4], as `cpu/interface.h` has it, and all tables end to end; all points inside."""
    rows, first = len(inputs.tokens), 0
    slices = []
    for s in inputs.sequences:
        inside = s.first_row >= 0 and 0 < s.count <= rows - s.first_row and s.start >= 0
        assert inside, f"rows {s.first_row} + {s.count} of {rows}"
        assert s.start + s.count <= len(s.table) * kv.block_size, "a table ends before its sequence"
        slices.append((s.first_row, s.count, s.start, first))
        first += len(s.table)
    assert sum(s.count for s in inputs.sequences) == rows == len(inputs.positions) == len(inputs.slots)
    tables = torch.cat([s.table for s in inputs.sequences])
    assert _within(tables, kv.blocks)
    assert _within(inputs.slots, kv.blocks * kv.block_size)
    shape = (2, kv.blocks, kv.block_size, spec.kv_heads, spec.head_dim)
    assert all(layer.shape == shape and layer.dtype == torch.float32 for layer in kv.layers)
    return torch.tensor(slices, dtype=torch.int64), tables


def _within(numbers: Tensor, end: int) -> bool:
    """No number is below 0 or at `end` or over it."""
    least, most = numbers.aminmax()
    return numbers.dtype == torch.int64 and int(least) >= 0 and int(most) < end


def _address(tensor: Tensor) -> int:
    assert tensor.dtype == torch.float32
    assert tensor.is_contiguous()
    return tensor.data_ptr()


def _in_panels(weight: Tensor, panel: int) -> Tensor:
    """[out, in] -> float32 [panels, in, panel], the last panel filled up with zeros; one copy is made."""
    outputs, inputs = weight.shape
    whole = outputs // panel
    packed = torch.empty(-(-outputs // panel), inputs, panel)
    packed[:whole].copy_(weight[: whole * panel].view(whole, panel, inputs).transpose(1, 2))
    if whole * panel < outputs:
        packed[whole].zero_()
        packed[whole, :, : outputs - whole * panel].copy_(weight[whole * panel :].t())
    return packed


def _plain(weight: Tensor) -> Tensor:
    return weight.float().contiguous()
