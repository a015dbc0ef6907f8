"""How much of what the machine can do the last steps took, and which of its two limits binds them: a roofline
in two numbers. An estimate: a step reads all weights and the K and V of all who run, and multiplies each
weight once for each token, the output head's once for each sequence.
"""

from collections.abc import Sequence
from typing import NamedTuple

from headway.core.types import Stepped

bound_from = 0.3  # of a limit: below it that does not bind


class Roof(NamedTuple):
    """What a model asks of the machine, and what that gives at most, as `headway calibrate` measured it."""

    weight_bytes: float
    slot_bytes: float  # K and V of a token
    token_flop: float
    row_flop: float  # of the output head, for a sequence of a step
    peak_bytes_s: float
    peak_flop_s: float


class Used(NamedTuple):
    mbu: float  # share of the memory's bandwidth
    mfu: float  # share of the arithmetic's rate

    @property
    def bound_by(self) -> str:
        """neither: both are far away, and something else takes the time."""
        if max(self) < bound_from:
            return "neither"
        return "memory" if self.mbu >= self.mfu else "compute"


def used(roof: Roof, steps: Sequence[Stepped], block_size: int) -> Used | None:
    """None: there was no step."""
    seconds = sum(step.step_s for step in steps)
    if not seconds:
        return None
    slots = sum(step.blocks_used * block_size - step.slots_unused for step in steps)
    read = len(steps) * roof.weight_bytes + slots * roof.slot_bytes
    flop = sum(step.tokens * roof.token_flop + step.sequences * roof.row_flop for step in steps)
    return Used(read / seconds / roof.peak_bytes_s, flop / seconds / roof.peak_flop_s)
