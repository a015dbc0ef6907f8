"""The classes' targets drive every step: its length, its order, how many run.

A step is as long as the tightest stream's slack allows, by the forecast. Into it come, in this order, the
streams that keep their promise; the prompts that can still be in time; and, while it stays short enough for
whoever arrives next, what is late or of a lower level. A slow guard on how much of the slack is used, and so
on how many run, corrects the forecast by what was measured.
"""

from math import inf

from headway.core.policies.draft import Draft
from headway.core.policies.preference import Policy, Preference, View, prompting
from headway.core.policies.urgency import in_order
from headway.core.sequence import Sequence
from headway.core.slo import Overload

most_considered = 128  # of those that wait, the most senior
aged_share = 0.7  # of max_wait_s: from then on a request's first slice comes before everything else
late_share, calm_share = 0.03, 0.01  # of gaps over their target: the guard closes above, opens below
guard_period_s, guard_step, guard_factor = 1.0, 0.02, 0.95  # added, and multiplied by
least_share, most_share = 0.5, 0.95  # of a stream's slack; the rest is for what a forecast cannot know


class Adaptive(Policy):
    heeds_levels = True

    def __init__(self) -> None:
        self._share = most_share  # of a stream's slack that a step may use: the guard
        self._reviewed_s = 0.0

    def rank(self, view: View, now: float) -> Preference:
        draft = Draft(view, now, self._share)
        ends_s = {s.id: expiry_s(s) for s in view.waiting[:most_considered]}
        expired = tuple(s for s in view.waiting[:most_considered] if ends_s[s.id] <= now)
        waiting = [s for s in view.waiting[:most_considered] if ends_s[s.id] > now]
        aged = [s for s in waiting if s is view.owed or _is_aged(s, now)]
        for sequence in aged:
            draft.add_first_slice(sequence)
        rest = [s for s in (*prompting(view), *waiting) if s not in aged]
        in_time, late = in_order([draft.job(s) for s in rest], now)
        lower = [job for job in in_time if job.sequence.level > draft.top]
        for job in in_time[: len(in_time) - len(lower)]:
            draft.add_in_time(job)
        # In turns: neither keeps the other waiting for ever.
        draft.add_rest((*late, *lower) if view.learned.steps % 2 else (*lower, *late))
        self._review(view, now)
        wake_s = min((end_s for end_s in ends_s.values() if end_s < inf), default=None)
        return Preference(draft.alternatives(), view.max_step_tokens, wake_s, expired)

    def _review(self, view: View, now: float) -> None:
        """Steps become shorter, and fewer may run, when gaps are late whatever the forecast said."""
        if now < self._reviewed_s + guard_period_s:
            return
        self._reviewed_s = now
        learned = view.learned
        feasible = [learned.records[n] for n in learned.classes if (n, "itl") not in learned.infeasible]
        late = max((record.late_share for record in feasible), default=0.0)
        if late > late_share:
            self._share = max(least_share, guard_factor * self._share)
        elif late < calm_share:
            self._share = min(most_share, self._share + guard_step)


def expiry_s(sequence: Sequence) -> float:
    """When a request without a slice ends in vain: after the most that its class waits, or past its deadline
    unless the class accepts whatever comes."""
    served, arrival_s = sequence.service_class, sequence.request.arrival_s
    accepts = served.on_overload is Overload.ACCEPT
    deadline_s = inf if accepts else sequence.targets.deadline_s or inf
    return arrival_s + min(served.max_wait_s or inf, deadline_s) if not sequence.begun else inf


def _is_aged(sequence: Sequence, now: float) -> bool:
    most_s = sequence.service_class.max_wait_s or inf
    return not sequence.begun and now >= sequence.request.arrival_s + aged_share * most_s
