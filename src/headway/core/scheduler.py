"""Four verbs: add, cancel, plan, commit. Pure: time comes in as a number, decisions go out as data.

Owns mechanism: the batches in flight, how a request begins and ends, what is learned from a step. Preference
is the policy's: a plan walks its ranking and grants each sequence the least of its cap, the budget and its
blocks (`step.py`). Who holds blocks is `residency.py`'s; one sequence's numbers are `sequence.py`'s.
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

from headway.core.account import to_ns
from headway.core.admission import Backlog, comes_too_late, prompt_tokens_ahead, refusal
from headway.core.forecast import SMALL_CPU, Profile
from headway.core.learned import Learned
from headway.core.limits import Limits
from headway.core.memory import MemoryRule
from headway.core.policies import POLICIES, Policy
from headway.core.policies.preference import View
from headway.core.residency import Residency
from headway.core.sequence import Sequence
from headway.core.slo import BUILT_IN, Overload, ServiceClass
from headway.core.step import Step
from headway.core.types import (
    Accepted,
    Batch,
    Cancel,
    Event,
    Finished,
    Outcome,
    PromptScored,
    Reason,
    Refused,
    Request,
    Result,
    Stepped,
    Token,
)


class Plan(NamedTuple):
    batch: Batch | None
    wake_s: float | None  # plan again by then though nothing happened
    events: list[Event]  # who ended before it began


class _Flight(NamedTuple):
    batch: Batch
    step: Step
    forecast_s: float


class Scheduler:
    """`policies`: those that it may change to. `exclusive`: a sequence is in one batch at a time."""

    def __init__(
        self,
        limits: Limits,
        policy: Policy,
        memory: MemoryRule,
        *,
        classes: Mapping[str, ServiceClass] = BUILT_IN,
        policies: Mapping[str, Callable[[], Policy]] = POLICIES,
        profile: Profile = SMALL_CPU,
        exclusive: bool = False,
    ) -> None:
        self.limits = limits
        self.policy = policy
        self.residency = Residency(limits, memory)
        self.learned = Learned(classes, profile)
        self._policies = policies
        self._memory = memory
        self._exclusive = exclusive
        self._policy_state = policy.first_state
        self._backlog = Backlog()
        self._live: dict[int, list[Sequence]] = {}  # by request: its choices that have not ended
        self._held_back = 0  # followers, see _bring_followers
        self._flights: deque[_Flight] = deque()
        self._next_id = 0
        self._batch_id = 0
        self._last_end_s = 0.0

    # ---- add and cancel

    def add(self, request: Request, now: float) -> list[Event]:
        """Accept a request, or refuse what could never run, what would come too late, what finds no place."""
        assert request.id not in self._live, f"request id {request.id} is in use"
        served = self._class_for(request, now)
        if isinstance(served, Refused):
            return [served]
        choices = [Sequence(self._next_id + i, request, i, now) for i in range(request.choices)]
        for sequence in choices:
            self._serve_as(sequence, served)
        self.learned.records[served.name].seen_s = now
        self._next_id += request.choices
        self._live[request.id] = choices
        first, *followers = choices
        first.followers = followers
        self._held_back += len(followers)
        self.residency.enqueue(first)
        return [Accepted(request.id, now, served.name)]

    def _serve_as(self, sequence: Sequence, served: ServiceClass) -> None:
        level = served.level if self.policy.heeds_levels else 0
        sequence.serve_as(served, level, self.learned.records[served.name])

    def _class_for(self, request: Request, now: float) -> ServiceClass | Refused:
        """The class it is served as."""
        classes = self.learned.known
        served = classes[request.service_class]
        refused = refusal(request, self.queued, self.limits, self._memory, now)
        if refused is not None or served.on_overload is Overload.ACCEPT or not self._live:
            return refused or served
        ahead = prompt_tokens_ahead(served.level, self.residency.waiting, self.residency.running)
        first_token_s = self._backlog.seconds(ahead + len(request.prompt), self.learned.prompt_token_s)
        refused = comes_too_late(request, served, first_token_s, now)
        if refused is not None and served.downgrade_to is not None:
            return classes[served.downgrade_to]
        return refused or served

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

    def retune(self, classes: Mapping[str, ServiceClass], policy: str | None) -> None:
        """Other classes and another policy (None: this one) from the next plan on, for whoever is here too.

        Who has a class that is no more, or comes with one, has it as it last was.
        """
        self.learned.retune(classes)
        if policy is not None:
            self.policy = self._policies[policy]()
            self._policy_state = self.policy.first_state
        for sequence in (s for choices in self._live.values() for s in choices):
            self._serve_as(sequence, self.learned.known[sequence.service_class.name])
        self.residency.reorder()

    # ---- plan

    def plan(self, now: float) -> Plan:
        """The next batch, or none if nothing can be granted. What it grants is in flight from here on."""
        limits, residency = self.limits, self.residency
        most, tokens = limits.max_seqs, limits.max_step_tokens
        view = View(residency.running, residency.waiting, most, tokens, self.learned, residency.owed)
        preference = self.policy.rank(view, now, self._policy_state)
        self._policy_state = preference.state
        ended: list[Event] = [self._end(s, Reason.EXPIRED, now) for s in preference.expired]
        step = Step(min(preference.budget, limits.max_step_tokens))
        residency.begin_plan(preference.alternatives)
        for ranking in preference.alternatives:
            step.grant(ranking, residency, exclusive=self._exclusive)
            if step.slices:
                break
        else:
            return Plan(None, preference.wake_s, ended)
        self._batch_id += 1
        gone, residency.gone = tuple(residency.gone), []
        batch = step.as_batch(self._batch_id, gone)
        self._flights.append(_Flight(batch, step, self.learned.forecast.seconds(step.load)))
        return Plan(batch, preference.wake_s, ended)

    # ---- commit

    def commit(self, result: Result) -> list[Event]:
        """Take in the oldest batch's result: tokens, ends, blocks for the prefix index, one frame."""
        flight, residency = self._flights.popleft(), self.residency
        assert flight.batch.id == result.batch_id, "results come in the order of their batches"
        start_s, at_s = max(result.start_s, self._last_end_s), result.end_s
        events: list[Event] = []
        self._book(flight.step, start_s, at_s)
        prefix_cache, size = self.limits.prefix_cache, self.limits.block_size
        for slice, sequence, outcome in zip(
            flight.batch.slices, flight.step.sequences, result.outcomes, strict=True
        ):
            computed = sequence.computed = slice.start + slice.count
            residency.room_computed += slice.count
            if sequence.ended or outcome.failure is not None:
                if not sequence.ended:
                    events.append(self._end(sequence, Reason.ERROR, at_s, detail=outcome.failure or ""))
                elif not sequence.in_flight:
                    residency.release(sequence)
                continue
            if prefix_cache and computed >= (sequence.indexed + 1) * size:
                residency.index(sequence)
            if outcome.prompt_logprobs:
                known = max(0, sequence.scored - slice.start)  # some are scored again after a pre-emption
                scores = outcome.prompt_logprobs[known:]
                sequence.scored += len(scores)
                events.append(PromptScored(sequence.request.id, sequence.choice, scores))
            if outcome.tokens:
                self._append(sequence, outcome, at_s, events)
            if sequence.leaving and not sequence.in_flight:
                residency.preempt(sequence)
        self.learned.observe(flight.step.load, at_s - start_s)
        if flight.step.prompt_tokens or residency.waiting:
            self._backlog.observe(at_s - start_s, flight.step.prompt_tokens)
        events.append(self._frame(flight, at_s - start_s, at_s))
        self._last_end_s = at_s
        return events

    def _book(self, step: Step, start_s: float, end_s: float) -> None:
        """Account for the step's time, and for the time before it, of all that are in it and live."""
        start_ns, end_ns, last_end_ns = to_ns(start_s), to_ns(end_s), to_ns(self._last_end_s)
        forecast = self.learned.forecast
        decode_share = step.own_share(forecast, None)
        for slice, sequence in zip(step.slices, step.sequences, strict=True):
            if sequence.ended:
                continue
            if sequence.first_step_s is None:
                sequence.first_step_s = start_s
            account, lost = sequence.account, sequence.is_lost
            if account.until_ns < start_ns:
                account.pause(start_ns, lost=lost, between_steps=account.until_ns == last_end_ns)
            prompt = slice.count > 1 or slice.start < sequence.prompt_tokens
            share = step.own_share(forecast, slice) if prompt else decode_share
            account.step(end_ns, share, lost=lost, prompt=slice.start < sequence.prompt_tokens)

    def _append(self, sequence: Sequence, outcome: Outcome, at_s: float, events: list[Event]) -> None:
        """Add what was sampled, up to the token that ends the sequence; beyond it is surplus."""
        if sequence.followers:
            self._bring_followers(sequence)
        request_id, choice, sampling = sequence.request.id, sequence.choice, sequence.sampling
        for i, token in enumerate(outcome.tokens):
            sequence.append(token, at_s)
            logprob = outcome.logprobs[i] if outcome.logprobs else None
            events.append(Token(request_id, choice, token, at_s, logprob))
            if token in sampling.stop_ids and sequence.output_tokens >= sampling.min_tokens:
                return events.append(self._end(sequence, Reason.STOP, at_s))
            if len(sequence.tokens) > sequence.last:
                return events.append(self._end(sequence, Reason.LENGTH, at_s))
        return sequence.set_due()

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
        if reason in (Reason.STOP, Reason.LENGTH):
            sequence.record.answer(sequence.output_tokens)
        return sequence.finish(reason, at_s, keep, detail)

    def _frame(self, flight: _Flight, step_s: float, at_s: float) -> Stepped:
        residency, pool, step = self.residency, self.residency.pool, flight.step
        frame = Stepped(
            at_s=at_s,
            step_s=step_s,
            tokens=step.load.tokens,
            prompt_tokens=step.prompt_tokens,
            sequences=len(step.slices),
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
            budget=step.budget,
            forecast_s=flight.forecast_s,
            forecast_error=self.learned.forecast.median_error,
            infeasible=self.learned.infeasible,
        )
        residency.preemptions = residency.recomputed_tokens = 0
        residency.prefix_query_tokens = residency.prefix_hit_tokens = 0
        return frame
