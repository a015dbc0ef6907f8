"""The policies that are known from elsewhere: what differs is who comes first. With `heeds_levels` each has
strict priority by level, as vLLM's priority scheduling."""

from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from headway.core.policies.preference import Preference, View, decoding, prompting, ranked

rise_tokens, fall_factor = 16.0, 0.9  # Aimd's


@dataclass(frozen=True, slots=True)
class Static:
    """A batch runs to its end before the next one enters; its members are the state (FasterTransformer).
    Places that fall free stay empty until the last member has ended; `batch_wait_s` lets a batch fill."""

    batch_wait_s: float = 0.0
    heeds_levels: bool = False
    first_state: object = frozenset()

    def rank(self, view: View, now: float, state: object) -> Preference:
        assert isinstance(state, frozenset)
        budget, room = view.max_step_tokens, max(0, view.max_seqs - len(view.running))
        # Members that wait: for room, pre-empted, or other choices.
        entering = [s for s in view.waiting if s.request.id in state]
        if not view.running and not entering:
            due_s = view.waiting[0].request.arrival_s + self.batch_wait_s if view.waiting else None
            if due_s is None or (len(view.waiting) < view.max_seqs and now < due_s):
                return Preference((), budget, frozenset(), due_s)
            entering = list(view.entrants)
            state = frozenset(s.request.id for s in entering)
        alternatives = ranked(view, prompting(view), entering[:room]), ranked(view, decoding(view))
        return Preference(alternatives, budget, state)


@dataclass(frozen=True, slots=True)
class PrefillFirst:
    """New prompts interrupt decodes, a step holds the ones or the others: quick first tokens, and gaps in
    everyone else's stream (Orca, vLLM's first scheduler)."""

    heeds_levels: bool = False
    first_state: object = None

    def rank(self, view: View, now: float, state: object) -> Preference:
        alternatives = ranked(view, prompting(view), view.entrants), ranked(view, decoding(view))
        return Preference(alternatives, view.max_step_tokens, state)


class Fill(NamedTuple):
    size: int  # the most that ran since the last filling began
    filling: bool


@dataclass(frozen=True, slots=True)
class DecodeFirst:
    """Decodes are never interrupted. Prompts enter when the running set has fallen to `refill_share` of the
    size it last filled up to, then until it is full again, nobody waits, or nobody else fits."""

    refill_share: float = 0.5
    heeds_levels: bool = False
    first_state: object = Fill(0, False)

    def rank(self, view: View, now: float, state: object) -> Preference:
        assert isinstance(state, Fill)
        state = self._fill(view, len(view.running), state)
        ranking = ranked(view, decoding(view), prompting(view), view.entrants if state.filling else ())
        return Preference((ranking,), view.max_step_tokens, state)

    def _fill(self, view: View, running: int, state: Fill) -> Fill:
        shrunk = running == 0 or (not state.filling and running <= self.refill_share * state.size)
        if shrunk and view.entrants:
            return Fill(running, True)
        if not state.filling:
            return state
        grew = running > state.size or bool(prompting(view))
        return Fill(max(state.size, running), bool(view.entrants) and grew)


@dataclass(frozen=True, slots=True)
class StallFree:
    """All decodes in every step, so no stream stalls; prompts in order of arrival with what is left of a
    fixed budget, the last of them a chunk if it does not fit whole (Sarathi-Serve)."""

    heeds_levels: bool = False
    first_state: object = None

    def rank(self, view: View, now: float, state: object) -> Preference:
        ranking = ranked(view, decoding(view), prompting(view), view.entrants)
        return Preference((ranking,), view.max_step_tokens, state)


class Size(NamedTuple):
    tokens: float
    steps: int  # that it has heeded


@dataclass(frozen=True, slots=True)
class Aimd:
    """Stall-free with a budget that rises a little with every step under the tightest target for gaps and
    falls by a tenth with one over it (Clipper, NSDI 2017): shows what a forecast is worth."""

    heeds_levels: bool = False
    first_state: object = Size(rise_tokens, 0)

    def rank(self, view: View, now: float, state: object) -> Preference:
        assert isinstance(state, Size)
        learned = view.learned
        if learned.steps > state.steps:
            tightest_s = min((c.itl_p95_s or inf for c in learned.classes.values()), default=inf)
            late = learned.last_step_s > tightest_s
            tokens = fall_factor * state.tokens if late else state.tokens + rise_tokens
            state = Size(min(max(tokens, 1.0), float(view.max_step_tokens)), learned.steps)
        ranking = ranked(view, decoding(view), prompting(view), view.entrants)
        return Preference((ranking,), int(state.tokens), state)
