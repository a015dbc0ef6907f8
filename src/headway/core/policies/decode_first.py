"""Iteration-level batching in which running decodes are never interrupted.

New prompts enter only when the running set has fallen to `refill_share` of the size it last filled up to,
then until it is full again, nobody waits, or nobody else fits.
"""

from dataclasses import dataclass
from typing import NamedTuple

from headway.core.policies.preference import Preference, View, decoding, prompting, ranked


class Fill(NamedTuple):
    size: int  # the most that ran since the last filling began
    filling: bool


@dataclass(frozen=True, slots=True)
class DecodeFirst:
    refill_share: float = 0.5
    heeds_levels: bool = False
    first_state: object = Fill(0, False)

    def rank(self, view: View, now: float, state: object) -> Preference:
        assert isinstance(state, Fill)
        state = self._fill(view, len(view.running), state)
        entrants = view.entrants if state.filling else ()
        ranking = ranked(decoding(view), prompting(view), entrants, cap=view.max_step_tokens)
        return Preference((ranking,), view.max_step_tokens, state)

    def _fill(self, view: View, running: int, state: Fill) -> Fill:
        if not view.entrants:
            return Fill(max(state.size, running) if state.filling else state.size, False)
        if running == 0 or (not state.filling and running <= self.refill_share * state.size):
            return Fill(running, True)
        if not state.filling:
            return state
        grew = running > state.size or bool(prompting(view))
        return Fill(max(state.size, running), grew)
