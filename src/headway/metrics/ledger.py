"""The engine's events, added up. Owns every sum; how they are shown is `export.py`'s.

Fed by one thread, in the order of events. Counters only rise. Every accepted choice is counted once as
finished, so that accepted = finished when nothing is open.
"""

from array import array
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from headway.core.slo import BUILT_IN, ServiceClass, Targets
from headway.core.types import (
    Accepted,
    Event,
    Finished,
    PromptScored,
    Reason,
    Refused,
    Request,
    Retuned,
    Shares,
    Stepped,
    Token,
)
from headway.metrics.histogram import Histogram, latency_bounds, ratio_bounds, token_bounds
from headway.metrics.paying import Paying
from headway.metrics.promises import Course, Kept, Outcome, callers_fault, p95_gap_s, whole
from headway.metrics.telling import Teller
from headway.metrics.trial import Stretch


class Standing(NamedTuple):
    """How the engine says that it stands: after a step, or by a heartbeat."""

    running: int  # sequences
    blocks_free: int
    blocks_cached: int
    blocks_used: int
    slots_unused: int  # in used blocks, holding no computed token


recent_steps = 64
most_stamps = 1_000  # of an open stream whose gaps are looked at


def _stamps() -> "defaultdict[int, array[float]]":
    return defaultdict(lambda: array("d"))


@dataclass(slots=True)
class OpenRequest:
    arrival_s: float
    service_class: str
    promised: Targets
    prompt_tokens: int
    choices: int  # that have not ended
    course: Course
    token_s: "defaultdict[int, array[float]]" = field(default_factory=_stamps)  # of tokens, by choice
    aborted: bool = False  # by an operator, though its end may have come first


class Latencies:
    """What clients of one class waited for, in seconds: tokens as they come, the rest of whole answers."""

    def __init__(self) -> None:
        self.ttft = Histogram(latency_bounds)
        self.itl = Histogram(latency_bounds)
        self.tpot = Histogram(latency_bounds)
        self.e2e = Histogram(latency_bounds)
        self.queue = Histogram(latency_bounds)
        self.prefill = Histogram(latency_bounds)
        self.decode = Histogram(latency_bounds)
        self.shares = {share: Histogram(latency_bounds) for share in Shares._fields}


class Ledger:
    """`classes`: what is promised to whom."""

    def __init__(self, classes: Mapping[str, ServiceClass] = BUILT_IN) -> None:
        self.known: dict[str, ServiceClass] = {}  # those that are no more, too, as they last were
        self.kept: dict[str, Kept] = {}  # of those
        self.classes: Mapping[str, ServiceClass] = {}
        self.last_step: Stepped | None = None
        self.retune(classes)
        self.retunes: Counter[str] = Counter()  # live changes, by what became of them
        self.on_trial = False  # the last one
        self._teller = Teller()
        self.paying = Paying()
        self.open: dict[int, OpenRequest] = {}
        self.latencies: dict[str, Latencies] = {}  # by class
        self.accepted: Counter[str] = Counter()  # choices, by class
        self.finished: Counter[tuple[str, Reason]] = Counter()  # choices, by class and reason
        self.aborted_choices = 0  # of those that were cancelled: by an operator
        self.refused: Counter[tuple[str, str]] = Counter()  # requests, by class and reason
        self.prompt_tokens = 0
        self.output_tokens = 0  # all that were made
        self.wasted_tokens = 0  # of them, behind a stop string
        self.preemptions = 0
        self.recomputed_tokens = 0
        self.prefix_query_tokens = 0
        self.prefix_hit_tokens = 0
        self.step_seconds = Histogram(latency_bounds)
        self.step_tokens = Histogram(token_bounds)
        self.forecast_ratio = Histogram(ratio_bounds)
        self.recent_steps = deque[Stepped](maxlen=recent_steps)
        self.standing: Standing | None = None  # None until the engine has said

    def retune(self, classes: Mapping[str, ServiceClass]) -> None:
        """What is promised from now on; whoever is here was promised what held when it came."""
        # Whether a load could keep what has changed, the engine has yet to say.
        if self.last_step is not None:
            same = {name for name, each in classes.items() if self.classes.get(name) == each}
            infeasible = tuple(pair for pair in self.last_step.infeasible if pair[0] in same)
            self.last_step = self.last_step._replace(infeasible=infeasible)
        self.classes = classes
        self.known |= classes
        self.kept |= {name: Kept() for name in classes if name not in self.kept}

    def opened(self, request: Request) -> None:
        """Before the request's first event."""
        name, prompt_tokens = request.service_class, len(request.prompt)
        promised, course = self.known[name].targets, Course(request.arrival_s, request.own)
        self.open[request.id] = OpenRequest(
            request.arrival_s, name, promised, prompt_tokens, request.choices, course
        )
        self.latencies.setdefault(request.service_class, Latencies())

    def aborted(self, request_id: int) -> None:
        """What cancels come of it from now on are an operator's."""
        self.open[request_id].aborted = True

    def add(self, events: Iterable[Event]) -> None:
        for event in events:
            match event:
                case Token():
                    self._token(event)
                case Stepped():
                    self._step(event)
                case Finished():
                    self._finish(event)
                case Accepted():
                    request = self.open[event.request_id]
                    self.accepted[request.service_class] += request.choices
                case Refused():
                    self._refuse(event)
                case PromptScored() | Retuned():
                    continue

    def _token(self, event: Token) -> None:
        request = self.open[event.request_id]
        latencies = self.latencies[request.service_class]
        self.prompt_tokens += 0 if request.token_s else request.prompt_tokens
        stamps = request.token_s[event.choice]
        if stamps:
            latencies.itl.observe(event.at_s - stamps[-1])
        else:
            latencies.ttft.observe(event.at_s - request.arrival_s)
        stamps.append(event.at_s)
        self.output_tokens += 1

    def _finish(self, event: Finished) -> None:
        request = self.open[event.request_id]
        self.finished[request.service_class, event.reason] += 1
        self.aborted_choices += request.aborted and event.reason is Reason.CANCELLED
        self.wasted_tokens += len(request.token_s.get(event.choice, ())) - event.output_tokens
        if event.reason in whole and event.output_tokens:
            self._observe_whole(request, event)
        request.course.end(event, request.token_s.get(event.choice, ()))
        request.choices -= 1
        if request.choices == 0:
            del self.open[event.request_id]
            self._judge(event.request_id, request, request.course.outcome(event.at_s))

    def _refuse(self, event: Refused) -> None:
        request = self.open.pop(event.request_id)
        self.refused[request.service_class, event.reason] += 1
        if event.reason not in callers_fault:
            self._judge(event.request_id, request, Outcome(event.at_s, request.course.own, failed=True))

    def _judge(self, request_id: int, request: OpenRequest, outcome: Outcome) -> None:
        name, verdict = request.service_class, outcome.verdict(request.promised)
        self.kept[name].add(verdict, outcome)
        if verdict.missed:
            self._teller.missed(name, request_id, verdict, request.course.spent_ns, outcome.at_s)

    def _observe_whole(self, request: OpenRequest, event: Finished) -> None:
        """An answer ends with its last token that counts, not when a stop string's cancel had come."""
        latencies, stamps = self.latencies[request.service_class], request.token_s[event.choice]
        decode_s = stamps[event.output_tokens - 1] - stamps[0]
        latencies.e2e.observe(stamps[event.output_tokens - 1] - request.arrival_s)
        queue_s = event.spent_ns.queue / 1e9
        latencies.queue.observe(queue_s)
        latencies.prefill.observe(max(0.0, stamps[0] - request.arrival_s - queue_s))
        for share, ns in event.spent_ns._asdict().items():
            latencies.shares[share].observe(ns / 1e9)
        latencies.decode.observe(decode_s)
        if event.output_tokens > 1:
            latencies.tpot.observe(decode_s / (event.output_tokens - 1))

    def look(self, now_s: float) -> None:
        """At who pays: after steps, and for whoever asks, since an idle engine makes none."""
        infeasible = () if self.last_step is None else self.last_step.infeasible
        self.paying.look(self.classes, self.kept, infeasible, now_s)
        self._teller.paying({name: self.kept[name].of_late(now_s) for name in self.paying.names})

    def _step(self, event: Stepped) -> None:
        self.last_step = event
        self.recent_steps.append(event)
        self._teller.infeasible(event.infeasible)
        self.look(event.at_s)
        self.stands(
            Standing(
                event.running, event.blocks_free, event.blocks_cached, event.blocks_used, event.slots_unused
            )
        )
        self.step_seconds.observe(event.step_s)
        self.step_tokens.observe(event.tokens)
        if event.forecast_s > 0:
            self.forecast_ratio.observe(event.step_s / event.forecast_s)
        self.preemptions += event.preemptions
        self.recomputed_tokens += event.recomputed_tokens
        self.prefix_query_tokens += event.prefix_query_tokens
        self.prefix_hit_tokens += event.prefix_hit_tokens

    def stands(self, standing: Standing) -> None:
        """The engine's own word, shown as it was said: a block that is lost must be seen to be missing."""
        self.standing = standing

    # ---- now

    def stretch(self, since_s: float, now_s: float) -> Stretch:
        """What a live change is judged by."""
        unfinished = self.so_far(now_s)
        outcomes = {name: (*kept.lately, *unfinished.get(name, ())) for name, kept in self.kept.items()}
        return Stretch(since_s, now_s, outcomes)

    def so_far(self, now_s: float) -> dict[str, list[Outcome]]:
        """By class, what open requests would be if their clients left now."""
        found: dict[str, list[Outcome]] = {}
        for request in self.open.values():
            waited_s, stamps = now_s - request.arrival_s, request.token_s.values()
            first_s = max((s[0] - request.arrival_s for s in stamps), default=waited_s)
            gap_s = max((p95_gap_s(s[-most_stamps:]) for s in stamps), default=0.0)
            worst_s = (first_s, gap_s, waited_s)
            failed = request.course.failed
            outcome = Outcome(now_s, request.course.own, worst_s, failed=failed, left=True)
            found.setdefault(request.service_class, []).append(outcome)
        return found

    @property
    def running(self) -> int:
        """Sequences in the running set, by the engine's last word."""
        return 0 if self.standing is None else self.standing.running

    @property
    def waiting(self) -> int:
        """All other sequences that have not ended."""
        return max(0, sum(request.choices for request in self.open.values()) - self.running)

    def oldest_wait_s(self, now: float) -> float:
        """Age of the oldest open request without a token."""
        waits = [now - r.arrival_s for r in self.open.values() if not r.token_s]
        return max(waits, default=0.0)
