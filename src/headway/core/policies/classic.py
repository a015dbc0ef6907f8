"""The policies that are known from elsewhere: what differs is who comes first."""

from math import inf

from headway.core.policies.preference import Policy, Preference, View, decoding, prompting, ranked

rise_tokens, fall_factor, refill_share = 16.0, 0.9, 0.5  # Aimd's two, and DecodeFirst's


class Static(Policy):
    """A batch runs to its end before the next one enters (FasterTransformer). Places that fall free stay
    empty until the last member has ended; `batch_wait_s` lets a batch fill."""

    def __init__(self, batch_wait_s: float = 0.0) -> None:
        self._batch_wait_s = batch_wait_s
        self._members: set[int] = set()  # of the batch that runs, by request

    def rank(self, view: View, now: float) -> Preference:
        budget, room = view.max_step_tokens, max(0, view.max_seqs - len(view.running))
        # Members that wait: for room, pre-empted, or other choices.
        entering = [s for s in view.waiting if s.request.id in self._members]
        if not view.running and not entering:
            due_s = view.waiting[0].request.arrival_s + self._batch_wait_s if view.waiting else None
            if due_s is None or (len(view.waiting) < view.max_seqs and now < due_s):
                return Preference((), budget, due_s)
            entering = list(view.entrants)
            self._members = {s.request.id for s in entering}
        alternatives = ranked(view, prompting(view), entering[:room]), ranked(view, decoding(view))
        return Preference(alternatives, budget)


class PrefillFirst(Policy):
    """New prompts interrupt decodes, a step holds the ones or the others: quick first tokens, and gaps in
    everyone else's stream (Orca, vLLM's first scheduler)."""

    def rank(self, view: View, now: float) -> Preference:
        alternatives = ranked(view, prompting(view), view.entrants), ranked(view, decoding(view))
        return Preference(alternatives, view.max_step_tokens)


class DecodeFirst(Policy):
    """Decodes are never interrupted. Prompts enter when the running set has fallen to `refill_share` of the
    size it last filled up to, then until it is full again, nobody waits, or nobody else fits."""

    def __init__(self) -> None:
        self._size = 0  # the most that ran since the last filling began
        self._filling = False

    def rank(self, view: View, now: float) -> Preference:
        running = len(view.running)
        shrunk = running == 0 or (not self._filling and running <= refill_share * self._size)
        if shrunk and view.entrants:
            self._size, self._filling = running, True
        elif self._filling:
            grew = running > self._size or bool(prompting(view))
            self._size, self._filling = max(self._size, running), bool(view.entrants) and grew
        ranking = ranked(view, decoding(view), prompting(view), view.entrants if self._filling else ())
        return Preference((ranking,), view.max_step_tokens)


class StallFree(Policy):
    """All decodes in every step, so no stream stalls; prompts in order of arrival with what is left of a
    fixed budget, the last of them a chunk if it does not fit whole (Sarathi-Serve)."""

    def rank(self, view: View, now: float) -> Preference:
        ranking = ranked(view, decoding(view), prompting(view), view.entrants)
        return Preference((ranking,), view.max_step_tokens)


class Aimd(StallFree):
    """Stall-free with a budget that rises a little with every step under the tightest target for gaps and
    falls by a tenth with one over it (Clipper, NSDI 2017): shows what a forecast is worth."""

    def __init__(self) -> None:
        self._tokens = rise_tokens
        self._steps = 0  # that it has heeded

    def rank(self, view: View, now: float) -> Preference:
        learned = view.learned
        if learned.steps > self._steps:
            tightest_s = min((c.itl_p95_s or inf for c in learned.classes.values()), default=inf)
            late = learned.last_step_s > tightest_s
            tokens = fall_factor * self._tokens if late else self._tokens + rise_tokens
            self._tokens = min(max(tokens, 1.0), float(view.max_step_tokens))
            self._steps = learned.steps
        return super().rank(view, now)._replace(budget=int(self._tokens))
