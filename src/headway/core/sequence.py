"""One continuation of one request: its mutable state and its legal moves.

Two numbers say all: tokens *known* and tokens *computed*; a step hands out tokens so that the second chases
the first. With work in flight a third stands between them:

    0 ......... computed ......... granted ......... known
      in the KV cache    in flight          to be done

`known` counts promises: a token being sampled in flight that a later step will compute. What is decode,
prefill, chunk or recompute follows from these numbers and is stored nowhere. The scheduler alone calls
the moves.
"""

from array import array
from dataclasses import replace
from math import inf

from headway.core.account import Account, to_ns
from headway.core.blocks import chain_digest, root_digest
from headway.core.learned import Record
from headway.core.slo import ServiceClass, Targets, is_missed, next_due_s
from headway.core.types import Finished, Reason, Request, Sampling


class Sequence:
    __slots__ = (
        "account", "blocks", "cached_tokens", "choice", "computed", "digests", "due_s", "ended",
        "first_step_s", "first_token_s", "followers", "granted", "id", "indexed", "known", "last",
        "last_token_s", "late_gap_s", "leaving", "level", "lost", "missed", "owed", "prompt_tokens", "record",
        "request", "room", "sampling", "scored", "seniority", "service_class", "targets", "tokens",
    )  # fmt: skip

    def __init__(self, id: int, request: Request, choice: int, now: float) -> None:
        self.id = id  # its arrival number: a smaller one is older
        self.request = request
        self.account = Account(request.arrival_s, now)
        self.choice = choice
        # The prompt is scored by the first choice alone; the others may share its blocks.
        self.sampling: Sampling = (
            request.sampling if choice == 0 else replace(request.sampling, prompt_logprobs=None)
        )
        self.prompt_tokens = len(request.prompt)
        self.tokens: array[int] = request.prompt[:]
        self.known = self.prompt_tokens
        self.last = self.prompt_tokens + self.sampling.max_tokens - 1  # the last token, never computed
        self.granted = self.computed = 0
        self.blocks: list[int] = []
        self.room = 0  # slots in its blocks
        self.digests: list[bytes] = []  # of its full blocks, from the first on
        self.indexed = 0  # so many of its blocks are in the prefix index
        self.scored = 0  # log-probabilities of so many prompt tokens have gone out
        self.cached_tokens = 0
        self.followers: list[Sequence] = []  # other choices, held back until they can share this one's prompt
        self.lost = 0  # tokens that were computed when it last gave way
        self.owed = 0  # until so many are computed again, its time is pre-emption's
        self.leaving = False  # gives its blocks up as soon as nothing of it is in flight
        self.ended = False
        self.first_step_s: float | None = None
        self.first_token_s: float | None = None
        self.last_token_s = inf
        self.due_s = inf  # when its next token must be there; before the first one nobody reads it

    def serve_as(self, service_class: ServiceClass, level: int, record: Record) -> None:
        """Take a class's contract. Who is senior never gives way to who is junior."""
        self.service_class = service_class
        self.targets: Targets = service_class.targets.replaced(self.request.own)
        self.late_gap_s = max(self.targets.itl_s or 0.0, service_class.itl_p95_s or 0.0)  # in the record
        self.missed = False  # a target is missed for good
        self.level = level
        self.seniority = (level, self.id)
        self.record = record

    @property
    def expected_tokens(self) -> float:
        """Of its whole answer."""
        return min(self.sampling.max_tokens, self.record.output_p90)

    def append(self, token: int, at_s: float) -> None:
        self.tokens.append(token)
        if self.first_token_s is None:
            self.first_token_s = at_s
        elif self.late_gap_s:
            self.record.gap(at_s - self.last_token_s > self.late_gap_s)
        self.last_token_s = at_s

    def set_due(self) -> None:
        """By when the next token must be there."""
        targets, arrival_s, at_s = self.targets, self.request.arrival_s, self.last_token_s
        if targets.deadline_s is None:
            self.due_s = inf if targets.itl_s is None else at_s + targets.itl_s
        else:
            self.due_s = next_due_s(targets, arrival_s, at_s, self.expected_tokens - self.output_tokens)
        if not self.missed:
            self.missed = is_missed(targets, arrival_s, self.first_token_s, at_s)

    @property
    def remaining(self) -> int:
        """Tokens that are known and not yet granted: 1 for a sequence that decodes, more for prompts."""
        return self.known - self.granted

    @property
    def in_flight(self) -> bool:
        return self.granted > self.computed

    @property
    def output_tokens(self) -> int:
        return len(self.tokens) - self.prompt_tokens

    def join(self, blocks: list[int], cached: int, block_size: int) -> None:
        """Enter the running set holding `blocks`, whose first `cached` tokens are computed."""
        assert not self.blocks
        self.blocks = blocks
        self.room = len(blocks) * block_size
        self.indexed = cached // block_size
        self.granted = self.computed = cached
        if self.first_step_s is None:
            self.cached_tokens = cached

    def grow(self, blocks: list[int], block_size: int) -> None:
        self.blocks.extend(blocks)
        self.room += len(blocks) * block_size

    def leave(self) -> list[int]:
        """Give all blocks up; what was computed is lost. Nothing may be in flight."""
        assert not self.in_flight
        blocks, self.blocks = self.blocks, []
        self.room = self.granted = self.computed = 0
        self.leaving = False
        return blocks

    def name_blocks(self, tokens: int, block_size: int) -> list[bytes]:
        """Digests of the full blocks among the first `tokens` tokens, worked out once each."""
        digests = self.digests
        for first in range(len(digests) * block_size, tokens - block_size + 1, block_size):
            parent = digests[-1] if digests else root_digest(self.request.cache_salt)
            digests.append(chain_digest(parent, self.tokens[first : first + block_size].tobytes()))
        return digests[: tokens // block_size]

    def finish(self, reason: Reason, at_s: float, keep: int | None = None, detail: str = "") -> Finished:
        """Mark the end and account for the time: every nanosecond from arrival to `at_s` in one share."""
        assert not self.ended, "a sequence ends once"
        self.ended = True
        if self.in_flight and self.account.until_ns < to_ns(at_s):
            self.account.step(to_ns(at_s), 1.0, lost=self.is_lost, prompt=self.computed < self.prompt_tokens)
        self.account.pause(to_ns(at_s), lost=self.is_lost, between_steps=False)
        return Finished(
            request_id=self.request.id,
            choice=self.choice,
            reason=reason,
            at_s=at_s,
            prompt_tokens=self.prompt_tokens,
            cached_tokens=self.cached_tokens,
            output_tokens=self.output_tokens if keep is None else min(keep, self.output_tokens),
            spent_ns=self.account.shares(),
            detail=detail,
        )

    @property
    def is_lost(self) -> bool:
        """It gave way, and has not yet computed again what it had then."""
        return self.computed < self.owed
