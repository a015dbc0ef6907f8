"""A scheduler around another that watches its verbs: who is accepted, whom a cancel ends, who advances."""

from collections import Counter
from collections.abc import Mapping
from math import inf

from headway.core.scheduler import Plan, Scheduler
from headway.core.sequence import Sequence
from headway.core.slo import Overload, ServiceClass
from headway.core.types import Accepted, Cancel, Event, Finished, Reason, Request, Result

Key = tuple[int, int]  # (request id, choice)


class Watched:
    """`patience`: batches in which the oldest of all must have advanced; None: no such promise here.

    `salts` is filled in for the executor: by sequence id.
    """

    def __init__(self, scheduler: Scheduler, patience: int | None, salts: dict[int, bytes]) -> None:
        self.requests: dict[int, Request] = {}  # accepted
        self.ids: dict[Key, int] = {}  # the sequence of each choice
        self.cancels: dict[Key, Cancel] = {}  # the one that ended a choice
        self.taken: set[int] = set()  # requests that were ever added
        self.counts: Counter[str] = Counter()
        self._scheduler = scheduler
        self._patience = patience
        self._salts = salts
        self._live: dict[Key, Sequence] = {}
        self._oldest: Sequence | None = None
        self._computed = self._stalled = 0  # of the oldest: its tokens, and batches since it had fewer

    @property
    def in_flight(self):
        return self._scheduler.in_flight

    def add(self, request: Request, now: float) -> list[Event]:
        self.taken.add(request.id)
        events = self._scheduler.add(request, now)
        if isinstance(events[0], Accepted):
            self.requests[request.id] = request
            sequences = list(self._scheduler._live[request.id])
            assert [s.id for s in sequences] == list(range(len(self.ids), len(self.ids) + request.choices))
            for s in sequences:
                self.ids[request.id, s.choice] = s.id
                self._live[request.id, s.choice] = s
                self._salts[s.id] = request.cache_salt
        return self._forget_ended(events)

    def cancel(self, cancel: Cancel, now: float) -> list[Event]:
        named = [key for key in self.ids if key[0] == cancel.request_id and cancel.choice in (None, key[1])]
        live = {key for key in named if key in self._live}
        for key in named:
            self.counts[f"cancelled {self._state(key)}"] += 1
        for key in live:
            self.cancels[key] = cancel
        events = self._scheduler.cancel(cancel, now)
        assert {(e.request_id, e.choice) for e in events} == live, "a cancel ends whom it names, no other"
        return self._forget_ended(events)

    def retune(self, classes: Mapping[str, ServiceClass], policy: str | None) -> None:
        gone = self._scheduler.learned.classes.keys() - classes.keys()
        self.counts["live changes"] += 1
        self.counts["live changes that leave someone without a class"] += any(
            s.service_class.name in gone for s in self._live.values()
        )
        self._scheduler.retune(classes, policy)
        self._oldest = None  # levels are others now

    def plan(self, now: float) -> Plan:
        plan = self._scheduler.plan(now)
        oldest = self._oldest
        if oldest is not None and not oldest.ended and (oldest.leaving or not oldest.blocks):
            assert self._find_oldest().seniority < oldest.seniority, "only the junior gives way"
            self._oldest = None
        for event in self._forget_ended(plan.events):
            assert event.reason is Reason.EXPIRED
        return plan

    def commit(self, result: Result) -> list[Event]:
        later = {s.id for step in list(self._scheduler.in_flight)[1:] for s in step.sequences}
        failed = sum(outcome.failure is not None and outcome.id in later for outcome in result.outcomes)
        self.counts["faults with work in flight"] += failed
        events = self._forget_ended(self._scheduler.commit(result))
        self._check_progress()
        return events

    def abandon(self, detail: str, now: float) -> list[Event]:
        self.counts["executor deaths"] += 1
        self.counts["choices that an executor took with it"] += len(self._live)
        return self._forget_ended(self._scheduler.abandon(detail, now))

    def _forget_ended(self, events: list[Event]) -> list[Event]:
        for event in events:
            if isinstance(event, Finished):
                del self._live[event.request_id, event.choice]
        return events

    def expiry_s(self, request: Request) -> float:
        served = self._scheduler.learned.known[request.service_class]
        deadline_s = None if served.on_overload is Overload.ACCEPT else served.deadline_s
        waits_s = [s for s in (deadline_s, served.max_wait_s) if s is not None]
        return request.arrival_s + min(waits_s, default=inf)

    def _state(self, key: Key) -> str:
        sequence = self._live.get(key)
        if sequence is None:
            return "after the end"
        if sequence.leaving:
            return "while leaving"
        if sequence.blocks:
            return "in flight" if sequence.in_flight else "while running"
        return "in the queue" if sequence in self._scheduler.residency.waiting else "while held back"

    def _find_oldest(self) -> Sequence | None:
        """The most senior of all that live; those held back do not count."""
        residency = self._scheduler.residency
        return min((*residency.running[:1], *residency.waiting[:1]), key=lambda s: s.seniority, default=None)

    def _check_progress(self) -> None:
        """Once it runs, the oldest of all advances every few batches."""
        oldest = self._find_oldest()
        if oldest is None or not oldest.blocks or oldest.leaving:
            self._oldest = None
        elif oldest is not self._oldest:
            self._oldest, self._computed, self._stalled = oldest, oldest.computed, 0
        else:
            self._stalled = 0 if oldest.computed > self._computed else self._stalled + 1
            self._computed = oldest.computed
            if self._patience is not None:
                self.counts["batches in which the oldest had to advance"] += 1
                assert self._stalled <= self._patience, f"{self._stalled} batches without progress"
