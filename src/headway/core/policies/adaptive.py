"""The classes' targets drive every step: its length, its order, how many run.

A step is as long as the tightest stream's slack allows, by the forecast. Into it come, in this order, the
streams that keep their promise; the prompts that can still be in time; and, while it stays short enough for
whoever arrives next, what is late or of a lower level. A slow guard on the number of running sequences
corrects the forecast by what was measured.
"""

from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from headway.core.policies.draft import Draft
from headway.core.policies.preference import Preference, View, prompting
from headway.core.policies.urgency import in_order
from headway.core.sequence import Sequence

most_considered = 128  # of those that wait, the most senior
aged_share = 0.7  # of max_wait_s: from then on a request's first slice comes before everything else
late_share, calm_share = 0.05, 0.02  # of gaps over their target: the guard closes above, opens below
guard_period_s, guard_factor = 1.0, 0.85


class Guard(NamedTuple):
    most: float  # sequences that may run
    reviewed_s: float


@dataclass(frozen=True, slots=True)
class Adaptive:
    heeds_levels: bool = True
    first_state: object = Guard(inf, 0.0)

    def rank(self, view: View, now: float, state: object) -> Preference:
        assert isinstance(state, Guard)
        draft = Draft(view, now, min(float(view.max_seqs), state.most))
        ends_s = {s.id: expiry_s(s) for s in view.waiting[:most_considered]}
        expired = tuple(s for s in view.waiting[:most_considered] if ends_s[s.id] <= now)
        waiting = [s for s in view.waiting[:most_considered] if ends_s[s.id] > now]
        aged = [s for s in waiting if s is view.owed or _is_aged(s, now)]
        for sequence in aged:
            draft.add_first_slice(sequence)
        rest = [s for s in (*prompting(view), *waiting) if s not in aged]
        in_time, late = in_order([draft.job(s) for s in rest], now)
        for job in in_time:
            draft.add_in_time(job)
        draft.add_loose_streams()
        for job in late:
            draft.add_late(job)
        guard = _review(state, view, now, crowded=draft.is_crowded)
        wake_s = min(ends_s.values(), default=inf)
        budget = view.max_step_tokens
        return Preference(draft.alternatives(), budget, guard, None if wake_s == inf else wake_s, expired)


def expiry_s(sequence: Sequence) -> float:
    """When a request without a slice ends in vain: past its deadline, or the most that its class waits."""
    if sequence.first_step_s is not None:
        return inf
    waits_s = (sequence.targets.deadline_s, sequence.service_class.max_wait_s)
    return sequence.request.arrival_s + min((s for s in waits_s if s is not None), default=inf)


def _is_aged(sequence: Sequence, now: float) -> bool:
    most_s = sequence.service_class.max_wait_s
    if most_s is None or sequence.first_step_s is not None:
        return False
    return now >= sequence.request.arrival_s + aged_share * most_s


def _review(guard: Guard, view: View, now: float, *, crowded: bool) -> Guard:
    """Fewer may run when gaps are too long though the forecast said otherwise, then slowly more again.

    Where decodes alone take a small part of the pace, fewer of them would change nothing: then prompts made
    the steps too long, and the forecast's safety factor, which is measured too, makes them shorter.
    """
    if now < guard.reviewed_s + guard_period_s:
        return guard
    learned = view.learned
    feasible = [learned.records[n] for n in learned.classes if (n, "itl") not in learned.infeasible]
    late = max((record.late_share for record in feasible), default=0.0)
    most = guard.most
    if late > late_share and crowded:
        most = max(1.0, guard_factor * min(most, float(len(view.running))))
    elif late < calm_share and most < view.max_seqs:
        most += 1.0
    return Guard(most, now)
