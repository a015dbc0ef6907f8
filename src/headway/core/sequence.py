"""One continuation of one request: its mutable state and its legal moves, which the scheduler alone calls.

A step hands out tokens so that those *computed* chase those *known*, with those *granted* in between:

    0 ......... computed ......... granted ......... known
      in the KV cache    in flight          to be done

`known` counts promises: a token being sampled in flight that a later step will compute. What is decode,
prefill, chunk or recompute follows from these numbers and is stored nowhere.
"""

from array import array
from dataclasses import replace
from math import inf

from headway.core.account import DECODE, PREEMPTION, PREFILL, QUEUE, Account, to_ns
from headway.core.blocks import chain_digest, root_digest
from headway.core.learned import Record
from headway.core.slo import Overload, ServiceClass, aged_share, is_missed, next_due_s
from headway.core.types import Event, Finished, Joined, Outcome, PromptScored, Reason, Request, Shares, Token


class Sequence:
    __slots__ = (
        "account", "aged_s", "begun", "blocks", "cached_tokens", "choice", "computed", "digests", "due_s",
        "ended", "expires_s", "first_token_s", "granted", "held_back", "hits", "id", "known", "last",
        "last_token_s", "late_gap_s", "late_gaps", "leaving", "level", "lost", "missed", "owed",
        "prompt_tokens", "record", "request", "sampling", "scored", "seniority", "service_class", "targets",
        "tokens",
    )  # fmt: skip

    def __init__(self, id: int, request: Request, choice: int, now: float) -> None:
        self.id = id  # its arrival number: a smaller one is older
        self.request = request
        self.choice = choice
        # The prompt is scored by the first choice alone; the others may share its blocks.
        self.sampling = request.sampling if choice == 0 else replace(request.sampling, prompt_logprobs=None)
        self.account = Account(request.arrival_s, now)
        self.tokens: array[int] = request.prompt[:]
        self.prompt_tokens = self.known = len(self.tokens)
        self.last = self.prompt_tokens + self.sampling.max_tokens - 1  # the last token, never computed
        self.granted = self.computed = self.late_gaps = 0
        self.blocks: list[int] = []
        self.digests: list[bytes] = []  # of its full blocks, from the first on
        self.scored = 0  # log-probabilities of so many prompt tokens have gone out
        self.hits = 0  # tokens that the prefix index had for it when it came; none once it has joined
        self.cached_tokens = 0
        self.held_back = choice > 0  # until it can share the prompt that its request's first choice computes
        self.lost = 0  # tokens that were computed when it last gave way
        self.owed = 0  # until so many are computed again, its time is pre-emption's
        self.leaving = False  # gives its blocks up as soon as nothing of it is in flight
        self.ended = False
        self.begun = False  # it had its first slice
        self.first_token_s: float | None = None
        self.last_token_s = request.arrival_s  # until there is one
        self.due_s = inf  # when its next token must be there; before the first one nobody reads it

    def serve_as(self, service_class: ServiceClass, level: int, record: Record) -> None:
        """Take a class's contract. Who is senior never gives way to who is junior."""
        self.service_class = service_class
        self.targets = service_class.targets.replaced(self.request.own)
        self.late_gap_s = max(self.targets.itl_s or 0.0, service_class.itl_p95_s or 0.0)  # by the record
        self.missed = False  # a target is missed for good
        self.level = level
        self.seniority = (level, self.id)
        self.record = record
        accepts = service_class.on_overload is Overload.ACCEPT  # whatever comes, its deadline passed or not
        waits_s = min(service_class.max_wait_s or inf, inf if accepts else self.targets.deadline_s or inf)
        self.expires_s = self.request.arrival_s + waits_s  # unless it has begun
        self.aged_s = self.request.arrival_s + aged_share * (service_class.max_wait_s or inf)

    @property
    def remaining(self) -> int:
        """Tokens that are known and not yet granted: 1 for a sequence that decodes, more for prompts."""
        return self.known - self.granted

    @property
    def in_flight(self) -> bool:
        return self.granted > self.computed

    @property
    def bucket(self) -> int:
        """For what its time is booked while it runs: from giving way on until it is as far as it was."""
        if self.computed < self.owed:
            return PREEMPTION
        return PREFILL if self.computed < self.prompt_tokens else DECODE

    @property
    def output_tokens(self) -> int:
        return len(self.tokens) - self.prompt_tokens

    @property
    def expected_tokens(self) -> float:
        """Of its whole answer."""
        return min(self.sampling.max_tokens, self.record.output_p90)

    def join(self, blocks: list[int], cached: int) -> Joined:
        """Enter the running set holding `blocks`, whose first `cached` tokens are computed."""
        assert not self.blocks
        self.blocks, self.hits = blocks, 0
        self.granted = self.computed = cached
        if not self.begun:
            self.cached_tokens = cached
        tables = (tuple(blocks),)
        return Joined(self.id, self.tokens[:], self.prompt_tokens, self.choice, self.sampling, tables)

    def leave(self) -> list[int]:
        """Give all blocks up; what was computed is lost. Nothing may be in flight."""
        assert not self.in_flight
        blocks, self.blocks = self.blocks, []
        self.granted = self.computed = 0
        self.leaving = False
        return blocks

    def name_blocks(self, tokens: int, block_size: int) -> list[bytes]:
        """Digests of the full blocks among the first `tokens` tokens, worked out once each."""
        digests = self.digests
        for first in range(len(digests) * block_size, tokens - block_size + 1, block_size):
            parent = digests[-1] if digests else root_digest(self.request.cache_salt)
            digests.append(chain_digest(parent, self.tokens[first : first + block_size].tobytes()))
        return digests[: tokens // block_size]

    def score(self, start: int, outcome: Outcome) -> PromptScored:
        """Of the prompt tokens after `start`, those that have not gone out before a pre-emption."""
        fresh = outcome.prompt_logprobs[max(0, self.scored - start) :]
        self.scored += len(fresh)
        return PromptScored(self.request.id, self.choice, fresh)

    def append(self, outcome: Outcome, at_s: float, events: list[Event]) -> Reason | None:
        """Add what was sampled, up to the token that ends the sequence, and say why; the rest is surplus."""
        request, choice, sampling, targets = self.request, self.choice, self.sampling, self.targets
        for i, token in enumerate(outcome.tokens):
            self.tokens.append(token)
            if self.first_token_s is None:
                self.first_token_s = at_s
            else:
                self.late_gaps += self.record.gap(at_s - self.last_token_s, self.late_gap_s)
            self.last_token_s = at_s
            logprob = outcome.logprobs[i] if outcome.logprobs else None
            events.append(Token(request.id, choice, token, at_s, logprob))
            if token in sampling.stop_ids and self.output_tokens >= sampling.min_tokens:
                return Reason.STOP
            if len(self.tokens) > self.last:
                return Reason.LENGTH
        self.due_s = at_s + (targets.itl_s or inf)
        if targets.deadline_s is not None:
            left = self.expected_tokens - self.output_tokens
            self.due_s = next_due_s(targets, request.arrival_s, at_s, left)
        self.missed = self.missed or is_missed(targets, request.arrival_s, self.first_token_s, at_s)
        return None

    def finish(self, reason: Reason, at_s: float, keep: int | None, detail: str) -> Finished:
        """Mark the end and account for the time: every nanosecond from arrival to `at_s` in one share."""
        assert not self.ended, "a sequence ends once"
        self.ended = True
        self.account.book(self.bucket if self.in_flight or self.bucket == PREEMPTION else QUEUE, to_ns(at_s))
        kept = self.output_tokens if keep is None else min(keep, self.output_tokens)
        tokens, spent_ns = (self.prompt_tokens, self.cached_tokens, kept), Shares(*self.account.spent_ns)
        return Finished(self.request.id, self.choice, reason, at_s, *tokens, spent_ns, detail)
