"""Chunked prefill mixed with all decodes under one fixed token budget (Sarathi-Serve).

Decodes come first, so no stream stalls; what is left of the budget goes to prompts in order of arrival, to
the last of them a chunk if it does not fit whole.
"""

from dataclasses import dataclass

from headway.core.policies.preference import Preference, View, decoding, prompting, ranked


@dataclass(frozen=True, slots=True)
class StallFree:
    heeds_levels: bool = False  # True: strict priority by level, as with vLLM's priority scheduling
    first_state: object = None

    def rank(self, view: View, now: float, state: object) -> Preference:
        ranking = ranked(decoding(view), prompting(view), view.entrants, cap=view.max_step_tokens)
        return Preference((ranking,), view.max_step_tokens, state)
