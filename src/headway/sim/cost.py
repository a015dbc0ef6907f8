"""What a step costs: seconds for a batch, on any device, however the model is split, at any precision.

Each component takes the larger of its memory's and its arithmetic's time, blended where they are near each
other, and components add up:

    linear            per matrix: weights read once, tokens multiplied, in tiles
    elementwise       norms, rotations, activation, sums
    communication     two all-reduces a layer (one where attention and MLP are parallel), stages' sends
    prefill           attention of chunks: their pairs of tokens
    decode            attention of a few tokens: each sequence's own context is read
    head              as linear, for the rows that are sampled; the sampler
    host              the engine's: per step, per sequence, per layer
    bubbles           what the stages of a pipeline wait for the slowest of them

In a pipeline a batch's cost is how long it holds a stage (`SimExecutor(stages=pp)` sends it through all of
them): with `pp` alike in flight, one ends so often.
Sequence parallelism (Ulysses, arXiv 2309.14509) splits a step's tokens where TP splits matrices: two
all-to-alls a layer stand in place of all-reduces, attention is split by heads, every GPU reads all weights.
"""

from collections.abc import Sequence
from typing import NamedTuple

from headway.core.types import Batch, Slice
from headway.rounding import ceil_div
from headway.sim.attention import Attention, Count
from headway.sim.devices import Device
from headway.sim.fits import Generation
from headway.sim.layers import Layers, Layout, Stage
from headway.sim.models import Dimensions
from headway.sim.precision import Precision


class Components(NamedTuple):
    """Seconds; they add up to the cost. In a pipeline each is the mean of the stages."""

    linear: float
    prefill_attention: float
    decode_attention: float
    elementwise: float
    communication: float
    head: float
    host: float
    bubbles: float


class StepCost:
    """The cost of a batch, in seconds: a `Cost`. What depends on counts alone is computed once per count."""

    def __init__(
        self,
        model: Dimensions,
        device: Device,
        layout: Layout,
        weights: Precision,
        kv: Precision,
        generation: Generation,
    ) -> None:
        self._layers = Layers(model, device, layout, weights, generation)
        self._attention = Attention(model, device, layout, kv, generation)
        self._pp = layout.pp
        self._stage_share = model.layers / (layout.pp * ceil_div(model.layers, layout.pp))
        ranks = layout.tp * layout.pp > 1
        self._host_s = generation.host_step_s  # the first stage's, with that of sequences
        stage_layers = ceil_div(model.layers, layout.pp)
        self._launches_s = generation.ranks_layer_s * stage_layers if ranks else 0.0  # every stage's
        self._sequence_s = generation.host_sequence_s + (generation.ranks_sequence_s if ranks else 0.0)
        self._of_tokens: dict[int, float] = {}
        self._parts_of_tokens: dict[int, Stage] = {}
        self._of_rows: dict[int, float] = {}

    def __call__(self, batch: Batch) -> float:
        return self.seconds(self._attention.count(batch.slices), len(batch.slices))

    def count(self, slices: Sequence[Slice]) -> Count:
        return self._attention.count(slices)

    def seconds(self, count: Count, sequences: int) -> float:
        """Of a batch of so many, once it is counted."""
        tokens, rows, prefill_s, decode_s = count
        stage_s = self._of_tokens.get(tokens)
        if stage_s is None:
            stage_s = self._of_tokens[tokens] = sum(self._stage(tokens))
        head_s = self._of_rows.get(rows)
        if head_s is None:
            head_s = self._of_rows[rows] = self._layers.head(rows)
        host_s = self._host_s + self._sequence_s * sequences
        stage_s += self._launches_s + prefill_s + decode_s
        return stage_s + (host_s + head_s if self._pp == 1 else max(host_s, head_s))

    def _stage(self, tokens: int) -> Stage:
        found = self._parts_of_tokens.get(tokens)
        if found is None:
            found = self._parts_of_tokens[tokens] = self._layers.stage(tokens)
        return found

    def components(self, batch: Batch) -> Components:
        """Where a batch's seconds go."""
        return self.parts(self._attention.count(batch.slices), len(batch.slices))

    def parts(self, count: Count, sequences: int) -> Components:
        """The same of a batch that is counted."""
        tokens, rows, prefill_s, decode_s = count
        linear_s, elementwise_s, communication_s = self._stage(tokens)
        share = self._stage_share
        work = Components(
            linear_s * share,
            prefill_s * share,
            decode_s * share,
            elementwise_s * share,
            communication_s * share,
            self._layers.head(rows) / self._pp,
            self._launches_s * share + (self._host_s + self._sequence_s * sequences) / self._pp,
            0.0,
        )
        return work if self._pp == 1 else work._replace(bubbles=self.seconds(count, sequences) - sum(work))
