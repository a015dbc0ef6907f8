"""The engine's events, added up. Owns every sum; how they are shown is `export.py`'s.

Fed by one thread, in the order of events. Counters only rise. Every accepted choice is counted once as
finished, so that accepted = finished when nothing is open.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from headway.core.types import (
    Accepted,
    Event,
    Finished,
    PromptScored,
    Reason,
    Refused,
    Request,
    Stepped,
    Token,
)
from headway.metrics.histogram import Histogram, latency_bounds, token_bounds


@dataclass(slots=True)
class OpenRequest:
    arrival_s: float
    service_class: str
    prompt_tokens: int
    choices: int  # that have not ended
    accepted: bool = False
    last_token_s: dict[int, float] = field(default_factory=dict)  # by choice
    tokens: Counter[int] = field(default_factory=Counter)  # by choice


class Latencies:
    """What clients of one class waited for, in seconds."""

    def __init__(self) -> None:
        self.ttft = Histogram(latency_bounds)
        self.itl = Histogram(latency_bounds)
        self.tpot = Histogram(latency_bounds)
        self.e2e = Histogram(latency_bounds)
        self.queue = Histogram(latency_bounds)
        self.prefill = Histogram(latency_bounds)
        self.decode = Histogram(latency_bounds)


class Ledger:
    def __init__(self) -> None:
        self.open: dict[int, OpenRequest] = {}
        self.latencies: dict[str, Latencies] = {}  # by class
        self.accepted: Counter[str] = Counter()  # choices, by class
        self.finished: Counter[tuple[str, Reason]] = Counter()  # choices, by class and reason
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
        self.last_step: Stepped | None = None

    def opened(self, request: Request) -> None:
        """Before the request's first event."""
        prompt_tokens = len(request.prompt)
        self.open[request.id] = OpenRequest(
            request.arrival_s, request.service_class, prompt_tokens, request.choices
        )
        self.latencies.setdefault(request.service_class, Latencies())

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
                    request.accepted = True
                    self.accepted[request.service_class] += request.choices
                case Refused():
                    request = self.open.pop(event.request_id)
                    self.refused[request.service_class, event.reason] += 1
                case PromptScored():
                    continue

    def _token(self, event: Token) -> None:
        request = self.open[event.request_id]
        latencies = self.latencies[request.service_class]
        last_s = request.last_token_s.get(event.choice)
        if last_s is not None:
            latencies.itl.observe(event.at_s - last_s)
        else:
            latencies.ttft.observe(event.at_s - request.arrival_s)
            self.prompt_tokens += 0 if request.last_token_s else request.prompt_tokens
        request.last_token_s[event.choice] = event.at_s
        request.tokens[event.choice] += 1
        self.output_tokens += 1

    def _finish(self, event: Finished) -> None:
        request = self.open[event.request_id]
        latencies = self.latencies[request.service_class]
        self.finished[request.service_class, event.reason] += 1
        self.wasted_tokens += request.tokens[event.choice] - event.output_tokens
        latencies.e2e.observe((event.queue_ns + event.prefill_ns + event.decode_ns) / 1e9)
        latencies.queue.observe(event.queue_ns / 1e9)
        if event.output_tokens:
            latencies.prefill.observe(event.prefill_ns / 1e9)
            latencies.decode.observe(event.decode_ns / 1e9)
        if event.output_tokens > 1:
            latencies.tpot.observe(event.decode_ns / 1e9 / (event.output_tokens - 1))
        request.choices -= 1
        if request.choices == 0:
            del self.open[event.request_id]

    def _step(self, event: Stepped) -> None:
        self.last_step = event
        self.step_seconds.observe(event.step_s)
        self.step_tokens.observe(event.tokens)
        self.preemptions += event.preemptions
        self.recomputed_tokens += event.recomputed_tokens
        self.prefix_query_tokens += event.prefix_query_tokens
        self.prefix_hit_tokens += event.prefix_hit_tokens

    # ---- now

    @property
    def running(self) -> int:
        """Sequences in the running set at the last frame, less what has ended without a frame since."""
        return 0 if self.last_step is None else min(self.last_step.running, self._open_choices)

    @property
    def waiting(self) -> int:
        """All other sequences that have not ended."""
        return self._open_choices - self.running

    @property
    def _open_choices(self) -> int:
        return sum(request.choices for request in self.open.values())

    def oldest_wait_s(self, now: float) -> float:
        """Age of the oldest open request without a token."""
        waits = [now - r.arrival_s for r in self.open.values() if not r.last_token_s]
        return max(waits, default=0.0)
