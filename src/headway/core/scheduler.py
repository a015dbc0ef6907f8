"""Four verbs: add, cancel, plan, commit. Pure: time comes in as a number, decisions go out as data.

Owns mechanism: the budget, the batches in flight, how a request begins and ends. Preference is the policy's:
a plan walks its ranking and grants each sequence the least of its cap, the budget and its blocks. Who holds
blocks is `residency.py`'s; one sequence's numbers are `sequence.py`'s.
"""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from headway.core.limits import Limits
from headway.core.memory import MemoryRule
from headway.core.policies.preference import Policy, Ranking, View
from headway.core.residency import Residency
from headway.core.sequence import Sequence
from headway.core.types import (
    Accepted,
    Batch,
    Cancel,
    Event,
    Finished,
    Grown,
    Joined,
    Outcome,
    PromptScored,
    Reason,
    Refusal,
    Refused,
    Request,
    Result,
    Slice,
    Stepped,
    Token,
)


class Plan(NamedTuple):
    batch: Batch | None
    wake_s: float | None  # plan again by then though nothing happened


class _Step(NamedTuple):
    """A batch in the making."""

    joined: list[Joined]
    grown: list[Grown]
    slices: list[Slice]
    sequences: list[Sequence]


class _Flight(NamedTuple):
    batch: Batch
    sequences: list[Sequence]  # beside the batch's slices
    prompt_tokens: int
    budget: int


class Scheduler:
    """`exclusive`: the executor takes a sequence in one batch at a time, though it takes several batches."""

    def __init__(
        self, limits: Limits, policy: Policy, memory: MemoryRule, *, exclusive: bool = False
    ) -> None:
        self.limits = limits
        self.policy = policy
        self.residency = Residency(limits, memory)
        self._memory = memory
        self._exclusive = exclusive
        self._policy_state = policy.first_state
        self._live: dict[int, list[Sequence]] = {}  # by request: its choices that have not ended
        self._held_back = 0  # followers, see _bring_followers
        self._flights: deque[_Flight] = deque()
        self._next_id = 0
        self._batch_id = 0
        self._last_end_s = 0.0

    # ---- add and cancel

    def add(self, request: Request, now: float) -> list[Event]:
        """Accept a request, or refuse what could never run and what finds the queue full."""
        assert request.id not in self._live, f"request id {request.id} is in use"
        refused = self._refusal(request, now)
        if refused is not None:
            return [refused]
        first, *followers = (Sequence(self._next_id + i, request, i) for i in range(request.choices))
        self._next_id += request.choices
        self._live[request.id] = [first, *followers]
        first.followers = followers
        self._held_back += len(followers)
        self.residency.enqueue(first)
        return [Accepted(request.id, now)]

    def _refusal(self, request: Request, now: float) -> Refused | None:
        limits, prompt, output = self.limits, len(request.prompt), request.sampling.max_tokens
        assert min(prompt, output, request.choices) >= 1, "the door lets no empty request in"
        asked = f"the prompt has {prompt} tokens and max_tokens is {output}, {prompt + output} together"
        if prompt + output > limits.max_model_len:
            text = f"{asked}; the context holds {limits.max_model_len}"
            return Refused(request.id, now, Refusal.TOO_LONG, text)
        held = self._memory(prompt, prompt + output, limits.max_model_len)
        if max(held, prompt + output) > limits.blocks * limits.block_size:
            text = f"{asked}; the KV cache holds {limits.blocks * limits.block_size}"
            return Refused(request.id, now, Refusal.NEVER_FITS, text)
        if request.choices > limits.max_queued:
            text = f"{request.choices} choices are asked for; the queue holds {limits.max_queued}"
            return Refused(request.id, now, Refusal.NEVER_FITS, text)
        if self.queued + request.choices > limits.max_queued:
            text = f"{self.queued} sequences are queued; the limit is {limits.max_queued}"
            return Refused(request.id, now, Refusal.OVERLOADED, text, limits.retry_after_s)
        return None

    @property
    def queued(self) -> int:
        return len(self.residency.waiting) + self._held_back

    def cancel(self, cancel: Cancel, now: float) -> list[Event]:
        """End the named choices now. Ended ones are no error: the end and the cancel may have crossed."""
        found = self._live.get(cancel.request_id, ())
        chosen = [s for s in found if cancel.choice is None or s.choice == cancel.choice]
        return [self._end(s, cancel.reason, now, keep=cancel.keep) for s in chosen]

    def abandon(self, detail: str, now: float) -> list[Event]:
        """The executor is gone: end everything that lives."""
        self._flights.clear()
        everyone = [s for choices in self._live.values() for s in choices]
        return [self._end(s, Reason.ERROR, now, detail=detail) for s in everyone]

    # ---- plan

    def plan(self, now: float) -> Plan:
        """The next batch, or none if nothing can be granted. What it grants is in flight from here on."""
        limits = self.limits
        residency = self.residency
        view = View(residency.running, residency.waiting, limits.max_seqs, limits.max_step_tokens)
        preference = self.policy.rank(view, now, self._policy_state)
        self._policy_state = preference.state
        budget = min(preference.budget, limits.max_step_tokens)
        residency.begin_plan(preference.alternatives)
        step = _Step([], [], [], [])
        prompt_tokens = 0
        for ranking in preference.alternatives:
            prompt_tokens = self._grant(ranking, budget, step)
            if step.slices:
                break
        else:
            return Plan(None, preference.wake_s)
        self._batch_id += 1
        gone, residency.gone = tuple(residency.gone), []
        batch = Batch(self._batch_id, gone, tuple(step.joined), tuple(step.grown), tuple(step.slices))
        self._flights.append(_Flight(batch, step.sequences, prompt_tokens, budget))
        return Plan(batch, preference.wake_s)

    def _grant(self, ranking: Ranking, budget: int, step: _Step) -> int:
        """Walk the ranking until the budget is spent. Returns how many of the tokens are prompt work."""
        prompt_tokens = 0
        exclusive, add_slice, add_sequence = self._exclusive, step.slices.append, step.sequences.append
        for sequence, cap in ranking:
            if budget <= 0:
                break
            if not sequence.blocks:
                joined = self.residency.join(sequence) if cap > 0 else None
                if joined is None:
                    continue
                step.joined.append(joined)
            start, known = sequence.granted, sequence.known
            count = known - start
            if count > cap or count > budget:
                count = min(cap, budget)
            if count <= 0 or sequence.leaving or (exclusive and start > sequence.computed):
                continue
            end = start + count
            if end > sequence.room:
                grown = self.residency.grow(sequence, end)
                if grown is None:
                    continue
                step.grown.append(grown)
            sequence.granted = end
            if end == known and end < sequence.last:
                sequence.known = end + 1  # the token being sampled: promised
            if count > 1 or start < sequence.prompt_tokens:
                prompt_tokens += count
            budget -= count
            add_slice(Slice(sequence.id, start, count, end == known))
            add_sequence(sequence)
        return prompt_tokens

    # ---- commit

    def commit(self, result: Result) -> list[Event]:
        """Take in the oldest batch's result: tokens, ends, blocks for the prefix index, one frame."""
        flight, residency = self._flights.popleft(), self.residency
        assert flight.batch.id == result.batch_id, "results come in the order of their batches"
        at_s = result.end_s
        start_s = max(result.start_s, self._last_end_s)
        self._last_end_s = at_s
        events: list[Event] = []
        add_event = events.append
        prefix_cache, size = self.limits.prefix_cache, self.limits.block_size
        tokens = 0
        for slice, sequence, outcome in zip(
            flight.batch.slices, flight.sequences, result.outcomes, strict=True
        ):
            count = slice.count
            tokens += count
            computed = sequence.computed = slice.start + count
            residency.room_computed += count
            if sequence.first_step_s is None:
                sequence.first_step_s = start_s
            if sequence.ended or outcome.failure is not None:
                if not sequence.ended:
                    add_event(self._end(sequence, Reason.ERROR, at_s, detail=outcome.failure or ""))
                elif not sequence.in_flight:
                    residency.release(sequence)
                continue
            if prefix_cache and computed >= (sequence.indexed + 1) * size:
                residency.index(sequence)
            if outcome.prompt_logprobs:
                known = max(0, sequence.scored - slice.start)  # some are scored again after a pre-emption
                scores = outcome.prompt_logprobs[known:]
                sequence.scored += len(scores)
                add_event(PromptScored(sequence.request.id, sequence.choice, scores))
            if outcome.tokens:
                self._append(sequence, outcome, at_s, add_event)
            if sequence.leaving and not sequence.in_flight:
                residency.preempt(sequence)
        add_event(self._frame(flight, at_s - start_s, at_s, tokens))
        return events

    def _append(
        self, sequence: Sequence, outcome: Outcome, at_s: float, add_event: Callable[[Event], None]
    ) -> None:
        """Add what was sampled, up to the token that ends the sequence; beyond it is surplus."""
        if sequence.first_token_s is None:
            sequence.first_token_s = at_s
        if sequence.followers:
            self._bring_followers(sequence)
        request_id, choice, sampling = sequence.request.id, sequence.choice, sequence.sampling
        for i, token in enumerate(outcome.tokens):
            sequence.tokens.append(token)
            logprob = outcome.logprobs[i] if outcome.logprobs else None
            add_event(Token(request_id, choice, token, at_s, logprob))
            if token in sampling.stop_ids and sequence.output_tokens >= sampling.min_tokens:
                return add_event(self._end(sequence, Reason.STOP, at_s))
            if len(sequence.tokens) > sequence.last:
                return add_event(self._end(sequence, Reason.LENGTH, at_s))
        return None

    def _bring_followers(self, sequence: Sequence) -> None:
        """The prompt is computed, or never will be: the other choices may come and share what is there."""
        for follower in sequence.followers:
            self.residency.enqueue(follower)
        self._held_back -= len(sequence.followers)
        sequence.followers = []

    def _end(
        self, sequence: Sequence, reason: Reason, at_s: float, keep: int | None = None, detail: str = ""
    ) -> Finished:
        """End a sequence wherever it is."""
        choices = self._live[sequence.request.id]
        choices.remove(sequence)
        if not choices:
            del self._live[sequence.request.id]
        self._bring_followers(sequence)
        leader = choices[0] if choices else sequence
        if sequence in leader.followers:
            leader.followers.remove(sequence)
            self._held_back -= 1
        else:
            self.residency.withdraw(sequence)
        return sequence.finish(reason, at_s, keep, detail)

    def _frame(self, flight: _Flight, step_s: float, at_s: float, tokens: int) -> Stepped:
        residency, pool = self.residency, self.residency.pool
        frame = Stepped(
            at_s=at_s,
            step_s=step_s,
            tokens=tokens,
            prompt_tokens=flight.prompt_tokens,
            sequences=len(flight.sequences),
            running=len(residency.running),
            waiting=self.queued,
            blocks_free=pool.available - pool.cached,
            blocks_cached=pool.cached,
            blocks_used=pool.blocks - pool.available,
            slots_unused=residency.room - residency.room_computed,
            preemptions=residency.preemptions,
            recomputed_tokens=residency.recomputed_tokens,
            prefix_query_tokens=residency.prefix_query_tokens,
            prefix_hit_tokens=residency.prefix_hit_tokens,
            budget=flight.budget,
        )
        residency.preemptions = residency.recomputed_tokens = 0
        residency.prefix_query_tokens = residency.prefix_hit_tokens = 0
        return frame
