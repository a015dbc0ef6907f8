"""Iteration-level batching in three fixed orders: new prompts may enter between any two steps (Orca).

With `heeds_levels` each has strict priority by level, as vLLM's priority scheduling.
"""

from dataclasses import dataclass
from typing import NamedTuple

from headway.core.policies.preference import Preference, View, decoding, prompting, ranked


@dataclass(frozen=True, slots=True)
class PrefillFirst:
    """New prompts interrupt decodes, a step holds the ones or the others (vLLM's first scheduler).

    Quick first tokens, and gaps in everyone else's stream.
    """

    heeds_levels: bool = False
    first_state: object = None

    def rank(self, view: View, now: float, state: object) -> Preference:
        budget = view.max_step_tokens
        prompts = ranked(prompting(view), view.entrants, cap=budget)
        return Preference((prompts, ranked(decoding(view), cap=budget)), budget, state)


@dataclass(frozen=True, slots=True)
class StallFree:
    """All decodes in every step, so no stream stalls; prompts in order of arrival with what is left of a
    fixed budget, the last of them a chunk if it does not fit whole (Sarathi-Serve)."""

    heeds_levels: bool = False
    first_state: object = None

    def rank(self, view: View, now: float, state: object) -> Preference:
        budget = view.max_step_tokens
        ranking = ranked(decoding(view), prompting(view), view.entrants, cap=budget)
        return Preference((ranking,), budget, state)


class Fill(NamedTuple):
    size: int  # the most that ran since the last filling began
    filling: bool


@dataclass(frozen=True, slots=True)
class DecodeFirst:
    """Running decodes are never interrupted. Prompts enter when the running set has fallen to `refill_share`
    of the size it last filled up to, then until it is full again, nobody waits, or nobody else fits."""

    refill_share: float = 0.5
    heeds_levels: bool = False
    first_state: object = Fill(0, False)

    def rank(self, view: View, now: float, state: object) -> Preference:
        assert isinstance(state, Fill)
        state, budget = self._fill(view, len(view.running), state), view.max_step_tokens
        ranking = ranked(decoding(view), prompting(view), view.entrants if state.filling else (), cap=budget)
        return Preference((ranking,), budget, state)

    def _fill(self, view: View, running: int, state: Fill) -> Fill:
        shrunk = running == 0 or (not state.filling and running <= self.refill_share * state.size)
        if shrunk and view.entrants:
            return Fill(running, True)
        if not state.filling:
            return state
        grew = running > state.size or bool(prompting(view))
        return Fill(max(state.size, running), bool(view.entrants) and grew)
