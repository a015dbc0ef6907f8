"""What a policy sees and what it answers. A policy owns preference; the scheduler owns mechanism."""

from collections.abc import Sequence as Ordered
from typing import NamedTuple, Protocol

from headway.core.learned import Learned
from headway.core.sequence import Sequence


class View(NamedTuple):
    """The scheduler's sequences, each list in order of seniority. Read only; valid during one call."""

    running: Ordered[Sequence]  # hold blocks
    waiting: Ordered[Sequence]  # hold none: new, or pre-empted
    max_seqs: int
    max_step_tokens: int
    learned: Learned
    owed: Sequence | None = None  # others are giving up for it what it went without: it must be ranked

    @property
    def entrants(self) -> Ordered[Sequence]:
        """The most senior waiting sequences that the running set has places for."""
        return self.waiting[: max(0, self.max_seqs - len(self.running))]


Ranking = list[tuple[Sequence, int]]  # who comes first, and the most tokens each may get


class Preference(NamedTuple):
    """The first alternative that grants anything is the step. Who gives way is the ranking read from its end:
    together the alternatives rank every running sequence, so that none can hold blocks out of reach."""

    alternatives: tuple[Ranking, ...]
    budget: int  # tokens of this step
    wake_s: float | None = None  # ask again at this time though nothing happened
    expired: tuple[Sequence, ...] = ()  # waited in vain: they end now


class Policy(Protocol):
    """What it remembers from plan to plan is its own: each scheduler has one to itself."""

    heeds_levels: bool = False  # a lower level is senior, as in vLLM's priority scheduling; else by arrival

    def rank(self, view: View, now: float) -> Preference: ...


def ranked(view: View, *groups: Ordered[Sequence]) -> Ranking:
    """The groups one after another. Nothing but the step's budget limits what each may get."""
    return [(sequence, view.max_step_tokens) for group in groups for sequence in group]


def decoding(view: View) -> list[Sequence]:
    """Running sequences past their prompt with one token to compute (or none that is not in flight)."""
    return [s for s in view.running if s.known - s.granted <= 1 and s.granted >= s.prompt_tokens]


def prompting(view: View) -> list[Sequence]:
    """The other running sequences: prompts, their chunks, text that is computed again."""
    return [s for s in view.running if s.known - s.granted > 1 or s.granted < s.prompt_tokens]
