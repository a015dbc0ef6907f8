"""Four verbs: add, cancel, plan, commit. Pure: time comes in as a number, decisions go out as data.
Owns the batches in flight, and how a request begins and ends. Who comes first is the policy's matter, how far
its ranking is granted is `step.py`'s, who holds blocks is `residency.py`'s."""

from collections import deque
from collections.abc import Callable, Mapping
from math import inf
from typing import NamedTuple

from headway.core.account import HOST, PREEMPTION, PREFILL, QUEUE, to_ns
from headway.core.admission import Admission
from headway.core.forecast import Profile
from headway.core.learned import Learned
from headway.core.limits import Limits
from headway.core.memory import MemoryRule
from headway.core.policies import POLICIES, Policy
from headway.core.policies.preference import View
from headway.core.residency import Residency
from headway.core.sequence import Sequence
from headway.core.slo import BUILT_IN, ServiceClass
from headway.core.step import Step
from headway.core.types import Accepted, Batch, Cancel, Event, Reason, Refused, Request, Result, Stepped


class Plan(NamedTuple):
    batch: Batch | None
    wake_s: float | None  # plan again by then though nothing happened
    events: list[Event]  # who ended before it began


class Scheduler:
    def __init__(
        self,
        limits: Limits,
        policy: Policy,
        memory: MemoryRule,
        *,
        classes: Mapping[str, ServiceClass] = BUILT_IN,
        policies: Mapping[str, Callable[[], Policy]] = POLICIES,  # those that it may change to
        profile: Profile = Profile(),
        exclusive: bool = False,  # the executor takes several batches, but a sequence in one at a time
    ) -> None:
        self.limits, self.policy = limits, policy
        self.residency = Residency(limits, memory)
        self.learned = Learned(classes, profile)
        self._policies, self._exclusive = policies, exclusive
        self._admission = Admission(self.residency, self.learned)
        self._live: dict[int, list[Sequence]] = {}  # by request: its choices that have not ended
        self._open = 0  # sequences that have not ended
        self.in_flight: deque[Step] = deque()
        self._next_id, self._next_batch_id = 0, 1
        self._last_end_s = 0.0

    def add(self, request: Request, now: float) -> list[Event]:
        """Accept a request, or refuse what could never run, what would come too late, what finds no place."""
        assert request.id not in self._live, f"request id {request.id} is in use"
        first = Sequence(self._next_id, request, 0, now)
        served = self._admission.judge(first, self.queued, now, idle=not self._live)
        if isinstance(served, Refused):
            return [served]
        choices = [first, *(Sequence(self._next_id + i, request, i, now) for i in range(1, request.choices))]
        for sequence in choices:
            self._serve_as(sequence, served)
        self.learned.records[served.name].seen_s = now
        self._next_id += request.choices
        self._live[request.id] = choices
        self._open += request.choices
        self.residency.enqueue(choices[0])
        return [Accepted(request.id, now, served.name)]

    def _serve_as(self, sequence: Sequence, served: ServiceClass) -> None:
        level = served.level if self.policy.heeds_levels else 0
        sequence.serve_as(served, level, self.learned.records[served.name])

    @property
    def queued(self) -> int:
        """Sequences that wait for blocks, or for the choice whose prompt they share."""
        return self._open - len(self.residency.running)

    def cancel(self, cancel: Cancel, now: float) -> list[Event]:
        """End the named choices now. Ended ones are no error: the end and the cancel may have crossed."""
        found = self._live.get(cancel.request_id, ())
        chosen = [s for s in found if cancel.choice is None or s.choice == cancel.choice]
        return [self._end(s, cancel.reason, now, keep=cancel.keep) for s in chosen]

    def abandon(self, detail: str, now: float) -> list[Event]:
        """The executor is gone: end everything that lives."""
        self.in_flight.clear()
        return [self._end(s, Reason.ERROR, now, detail=detail) for s in self._everyone()]

    def _everyone(self) -> list[Sequence]:
        return [s for choices in self._live.values() for s in choices]

    def retune(self, classes: Mapping[str, ServiceClass], policy: str | None) -> None:
        """Other classes, and if named another policy, from the next plan on, for all. Who has a class that is
        no more, or comes with one, has it as it last was."""
        self.learned.retune(classes)
        if policy is not None:
            self.policy = self._policies[policy]()
        for sequence in self._everyone():
            self._serve_as(sequence, self.learned.known[sequence.service_class.name])
        self.residency.reorder()

    def plan(self, now: float) -> Plan:
        """The next batch, or none if nothing can be granted. What it grants is in flight from here on."""
        residency, most, tokens = self.residency, self.limits.max_seqs, self.limits.max_step_tokens
        view = View(residency.running, residency.waiting, most, tokens, self.learned, residency.owed)
        preference = self.policy.rank(view, now)
        ended: list[Event] = [self._end(s, Reason.EXPIRED, now) for s in preference.expired]
        step = Step(self._next_batch_id, min(preference.budget, tokens), self.learned.forecast)
        residency.begin_plan(preference.alternatives)
        if not any(step.grant(r, residency, exclusive=self._exclusive) for r in preference.alternatives):
            return Plan(None, now if ended else preference.wake_s, ended)  # who follows them may be granted
        self._next_batch_id += 1
        self.in_flight.append(step)
        gone, residency.gone = residency.gone, []
        return Plan(step.as_batch(gone), preference.wake_s, ended)

    def commit(self, result: Result) -> list[Event]:
        """Take in the oldest batch's result: tokens, ends, blocks for the prefix index, one frame."""
        step, residency = self.in_flight.popleft(), self.residency
        assert step.id == result.batch_id, "results come in the order of their batches"
        start_s, at_s = max(result.start_s, self._last_end_s), result.end_s
        events: list[Event] = []
        self._book(step, start_s, at_s)
        prefix_cache, size = self.limits.prefix_cache, self.limits.block_size
        for slice, sequence, outcome in zip(step.slices, step.sequences, result.outcomes, strict=True):
            computed = sequence.computed = slice.start + slice.count
            if sequence.ended:
                if not sequence.in_flight:
                    residency.release(sequence)
                continue
            if outcome.failure is not None:
                events.append(self._end(sequence, Reason.ERROR, at_s, detail=outcome.failure))
                continue
            if prefix_cache and computed // size > slice.start // size:
                residency.index(sequence, slice.start)
            if outcome.prompt_logprobs:
                events.append(sequence.score(slice.start, outcome))
            if outcome.tokens:
                if sequence.first_token_s is None:
                    self._let_in(self._live[sequence.request.id])
                if (reason := sequence.append(outcome, at_s, events)) is not None:
                    events.append(self._end(sequence, reason, at_s))
            if sequence.leaving and not sequence.in_flight:
                residency.preempt(sequence)
        residency.slots_unused -= step.load.tokens
        self.learned.observe(step.load, at_s - start_s)
        if step.prompt_tokens or residency.waiting:
            self._admission.observe(at_s - start_s, step.prompt_tokens)
        events.append(self._frame(step, at_s - start_s, at_s))
        self._last_end_s = at_s
        return events

    def _book(self, step: Step, start_s: float, end_s: float) -> None:
        """Account for the step's time, and for the time before it, of all that are in it and live."""
        start_ns, end_ns, last_end_ns = to_ns(start_s), to_ns(end_s), to_ns(self._last_end_s)
        decode_share = step.own_share(None)
        for slice, sequence in zip(step.slices, step.sequences, strict=True):
            if sequence.ended:
                continue
            sequence.begun = True
            account, bucket = sequence.account, sequence.bucket
            if bucket == PREEMPTION:
                account.book(bucket, end_ns)
                continue
            account.book(HOST if account.until_ns == last_end_ns else QUEUE, start_ns)
            prompt = bucket == PREFILL or slice.count > 1
            account.book_step(bucket, step.own_share(slice) if prompt else decode_share, end_ns)

    def _let_in(self, choices: list[Sequence]) -> None:
        """The prompt is computed, or never will be: the other choices may come and share what is there."""
        for sequence in choices:
            if sequence.held_back:
                sequence.held_back = False
                sequence.expires_s = inf if choices[0].begun else sequence.expires_s  # as their prompt has
                self.residency.enqueue(sequence)

    def _end(
        self, sequence: Sequence, reason: Reason, at_s: float, keep: int | None = None, detail: str = ""
    ) -> Event:
        choices = self._live[sequence.request.id]
        choices.remove(sequence)
        if not choices:
            del self._live[sequence.request.id]
        self._open -= 1
        if not sequence.held_back:
            self._let_in(choices)
            self.residency.withdraw(sequence)
        if reason in (Reason.STOP, Reason.LENGTH):
            sequence.record.answer(sequence.output_tokens)
        return sequence.finish(reason, at_s, keep, detail)

    def _frame(self, step: Step, step_s: float, at_s: float) -> Stepped:
        """Each group in the order of the frame's fields."""
        learned, residency = self.learned, self.residency
        work = (step.load.tokens, step.prompt_tokens, len(step.slices))
        standing = (len(residency.running), self.queued, *residency.pool.places, residency.slots_unused)
        forecast = (step.forecast_s, learned.forecast.median_error, learned.infeasible)
        return Stepped(at_s, step_s, *work, *standing, *residency.take_counts(), step.budget, *forecast)
