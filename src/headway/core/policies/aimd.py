"""A batch that grows while it is quick enough and shrinks when it is not: reacting instead of forecasting.

The step's budget of tokens rises a little with every step that stays under the tightest target for gaps
and falls by a tenth with one that does not (Clipper, NSDI 2017). The order is stall-free's. It stands here to
show what a forecast is worth.
"""

from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from headway.core.policies.preference import Preference, View, decoding, prompting, ranked

rise_tokens, fall_factor = 16.0, 0.9


class Size(NamedTuple):
    tokens: float
    steps: int  # that it has heeded


@dataclass(frozen=True, slots=True)
class Aimd:
    heeds_levels: bool = False
    first_state: object = Size(rise_tokens, 0)

    def rank(self, view: View, now: float, state: object) -> Preference:
        assert isinstance(state, Size)
        learned = view.learned
        if learned.steps > state.steps:
            tightest_s = min((c.itl_p95_s or inf for c in learned.classes.values()), default=inf)
            late = learned.last_step_s > tightest_s
            tokens = fall_factor * state.tokens if late else state.tokens + rise_tokens
            state = Size(min(max(tokens, 1.0), float(view.max_step_tokens)), learned.steps)
        budget = int(state.tokens)
        ranking = ranked(decoding(view), prompting(view), view.entrants, cap=budget)
        return Preference((ranking,), budget, state)
