"""The classes' targets drive every step: its length, its order, how many run. It is as long as the tightest
stream's slack allows, by the forecast. Into it come the streams that keep their promise; the prompts that can
still be in time; then what is late and, in turns with it, lower levels, which stay well below. A guard on how
much of the slack is used, and so on how many run, corrects the forecast by what was measured."""

from collections.abc import Sequence as Ordered
from itertools import islice
from math import inf
from operator import attrgetter

from headway.core.learned import Learned, tight
from headway.core.policies.draft import Draft, overdue_share
from headway.core.policies.preference import Policy, Preference, View, prompting
from headway.core.policies.urgency import in_order
from headway.core.sequence import Sequence

considered, patience_s, most_behind_s = 64, 30.0, 1.0  # of those that wait; of one; of work owed
late_share, guard_gain = 0.003, 0.02  # of gaps may be late: short answers have room for none; of slack
least_share, most_share = 0.5, 0.95  # of a stream's slack; the rest is for what a forecast cannot know


class Adaptive(Policy):
    heeds_levels = True

    def __init__(self) -> None:
        self._share = most_share  # of a stream's slack that a step may use: the guard
        self._oldest: tuple[Sequence | None, int] = None, 0  # without a token for longest; its tokens granted
        self._behind_s = 0.0  # work that those who waited longest are still owed
        self._seen: dict[str, tuple[int, int]] = {}  # by class: gaps and late ones that the guard has heeded

    def rank(self, view: View, now: float) -> Preference:
        draft = Draft(view, now, self._share)
        expired = tuple(s for s in view.waiting if s.expires_s <= now and not s.begun)
        waiting = [s for s in _considered(view.waiting, now) if s.expires_s > now or s.begun]
        prompts = [*prompting(view), *waiting]
        in_time, late = in_order([draft.job(s) for s in prompts], now)
        aged = [j for j in (*in_time, *late) if j.sequence.aged_s <= now and j.sequence.first_token_s is None]
        in_time, late = ([job for job in group if job not in aged] for group in (in_time, late))
        lower = [job for job in in_time if job.sequence.level > draft.top]
        draft.crowded = any(job.sequence.level == draft.top for job in late)
        for job in (*aged, *in_time[: len(in_time) - len(lower)]):
            draft.add_in_time(job)
        draft.add_rest((*late, *lower) if view.learned.steps % 2 else (*lower, *late))
        for sequence in self._overdue(draft, [*draft.loose, *prompts], view.owed):
            draft.add_overdue(sequence)
        self._review(view.learned, draft.top)
        wake_s = min((s.expires_s for s in waiting if s.expires_s < inf and not s.begun), default=None)
        return Preference(draft.alternatives(), view.max_step_tokens, wake_s, expired)

    def _overdue(self, draft: Draft, found: list[Sequence], owed: Sequence | None) -> list[Sequence]:
        """Who is owed room; and who has waited longest, if for too long while lower levels had too little."""
        oldest, (former, had) = min(found, key=attrgetter("last_token_s"), default=None), self._oldest
        got = max(0, former.granted - had) if former and former.level else 0
        self._oldest = oldest, oldest.granted if oldest else 0
        behind_s = self._behind_s + overdue_share * draft.seconds - got * draft.token_s
        self._behind_s = max(-most_behind_s, min(most_behind_s, behind_s))
        since_s = draft.now - patience_s if behind_s > 0.0 else -inf
        return [s for s in found if s is owed or (s is oldest and s.last_token_s < since_s)]

    def _review(self, learned: Learned, top: int) -> None:
        """Steps become shorter, and fewer may run, while more gaps are late than should be, whatever the
        forecast said; and the other way round. By the classes that steps are made for."""
        change = 0.0
        for name, each in learned.classes.items():
            record = learned.records[name]
            gaps, late = self._seen.get(name, (record.gaps, record.late_gaps))
            self._seen[name] = record.gaps, record.late_gaps
            if each.level <= top and (each.itl_p95_s or 0.0) > tight * learned.bare_s:
                change += late_share * (record.gaps - gaps) - (record.late_gaps - late)
        self._share = min(most_share, max(least_share, self._share + guard_gain * change))


def _considered(waiting: Ordered[Sequence], now: float) -> list[Sequence]:
    """The most senior; if they are many, as many others not late yet, and who has waited longest."""
    others = waiting[considered:] if len(waiting) > 2 * considered else ()
    timely = (s for s in others if now <= s.request.arrival_s + (s.targets.ttft_s or inf))
    oldest = (min(others, key=attrgetter("last_token_s")),) if others else ()
    return list(dict.fromkeys((*waiting[: len(waiting) - len(others)], *islice(timely, considered), *oldest)))
