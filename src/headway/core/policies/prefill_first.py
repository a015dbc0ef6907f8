"""Iteration-level batching in which new prompts interrupt decodes (Orca, vLLM's first scheduler).

A step holds prompts or decodes, never both: quick first tokens, and gaps in everyone else's stream.
"""

from dataclasses import dataclass

from headway.core.policies.preference import Preference, View, decoding, prompting, ranked


@dataclass(frozen=True, slots=True)
class PrefillFirst:
    heeds_levels: bool = False  # True: strict priority by level, as with vLLM's priority scheduling
    first_state: object = None

    def rank(self, view: View, now: float, state: object) -> Preference:
        budget = view.max_step_tokens
        prompts = ranked(prompting(view), view.entrants, cap=budget)
        return Preference((prompts, ranked(decoding(view), cap=budget)), budget, state)
