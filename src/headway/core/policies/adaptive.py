"""The classes' targets drive every step: its length, its order, how many run. It is as long as the tightest
stream's slack allows, by the forecast. Into it come, in this order, the streams that keep their promise; the
prompts that can still be in time; what is late; and, while it stays well below that, lower levels. A
guard on how much of the slack is used, and so on how many run, corrects the forecast by what was measured."""

from collections.abc import Sequence as Ordered
from itertools import islice
from math import inf

from headway.core.learned import Learned
from headway.core.policies.draft import Draft
from headway.core.policies.preference import Policy, Preference, View, prompting
from headway.core.policies.urgency import in_order
from headway.core.sequence import Sequence

most_considered = 128  # of those that wait
aged_share = 0.7  # of max_wait_s: from then on a request comes before everything else
patience_s = 30.0  # so long after its arrival, the oldest that has no token comes first, too, bit by bit
late_share, guard_gain = 0.003, 0.02  # of gaps may be late: short answers have room for none; of slack
least_share, most_share = 0.5, 0.95  # of a stream's slack; the rest is for what a forecast cannot know


class Adaptive(Policy):
    heeds_levels = True

    def __init__(self) -> None:
        self._share = most_share  # of a stream's slack that a step may use: the guard
        self._seen: dict[str, tuple[int, int]] = {}  # by class: gaps and late ones that the guard has heeded

    def rank(self, view: View, now: float) -> Preference:
        draft = Draft(view, now, self._share)
        expired = tuple(s for s in view.waiting if s.expires_s <= now and not s.begun)
        waiting = [s for s in _considered(view.waiting, now) if s.expires_s > now or s.begun]
        aged = _aged([*prompting(view), *waiting], now) or [s for s in waiting if s is view.owed]
        for sequence in aged:
            draft.add_aged(sequence)
        rest = [s for s in (*prompting(view), *waiting) if s not in aged]
        in_time, late = in_order([draft.job(s) for s in rest], now)
        lower = [job for job in in_time if job.sequence.level > draft.top]
        for job in in_time[: len(in_time) - len(lower)]:
            draft.add_in_time(job)
        # In turns: neither keeps the other waiting for ever.
        draft.add_rest((*late, *lower) if view.learned.steps % 2 else (*lower, *late))
        self._review(view.learned)
        wake_s = min((s.expires_s for s in waiting if s.expires_s < inf and not s.begun), default=None)
        return Preference(draft.alternatives(), view.max_step_tokens, wake_s, expired)

    def _review(self, learned: Learned) -> None:
        """Steps become shorter, and fewer may run, while more gaps are late than should be, whatever the
        forecast said; and the other way round."""
        changes = []
        for name in learned.classes:
            record, (gaps, late) = learned.records[name], self._seen.get(name, (0, 0))
            self._seen[name] = record.gaps, record.late_gaps
            if record.gaps > gaps and (name, "itl") not in learned.infeasible:
                changes.append(late_share * (record.gaps - gaps) - (record.late_gaps - late))
        share = self._share + guard_gain * min(changes, default=0.0)
        self._share = min(most_share, max(least_share, share))


def _considered(waiting: Ordered[Sequence], now: float) -> list[Sequence]:
    """The most senior; and if they are many, half as many of the others whose first token is not late yet."""
    half = most_considered // 2
    others = waiting[half:] if len(waiting) > most_considered else ()
    timely = (s for s in others if now <= s.request.arrival_s + (s.targets.ttft_s or inf))
    return [*(waiting[:half] if others else waiting), *islice(timely, half)]


def _aged(sequences: list[Sequence], now: float) -> list[Sequence]:
    """Whose class lets nobody wait so long; and of the others who has waited longest, if for long."""
    unserved = sorted((s.request.arrival_s, s.id, s) for s in sequences if s.first_token_s is None)
    aged = [s for at_s, _, s in unserved if now - at_s >= aged_share * (s.service_class.max_wait_s or inf)]
    return aged or [s for at_s, _, s in unserved[:1] if now - at_s > patience_s]
