"""Request-level batching: a batch runs to its end before the next one enters (FasterTransformer).

The members of the batch are the policy's state. Places that fall free stay empty until the last member has
ended; `batch_wait_s` lets a batch fill before it starts.
"""

from dataclasses import dataclass

from headway.core.policies.preference import Preference, View, decoding, prompting, ranked


@dataclass(frozen=True, slots=True)
class Static:
    batch_wait_s: float = 0.0
    heeds_levels: bool = False
    first_state: object = frozenset()

    def rank(self, view: View, now: float, state: object) -> Preference:
        assert isinstance(state, frozenset)
        budget = view.max_step_tokens
        entering = [s for s in view.waiting if s.request.id in state]  # without room so far, or followers
        if not view.running and not entering:
            due_s = view.waiting[0].request.arrival_s + self.batch_wait_s if view.waiting else None
            if due_s is None or (len(view.waiting) < view.max_seqs and now < due_s):
                return Preference((), budget, frozenset(), due_s)
            entering = list(view.entrants)
            state = frozenset(s.request.id for s in entering)
        room = max(0, view.max_seqs - len(view.running))
        prompts = ranked(prompting(view), entering[:room], cap=budget)
        return Preference((prompts, ranked(decoding(view), cap=budget)), budget, state)
