"""A sink that keeps each request's stamps, judges it, and knows when a run is decided."""

from array import array
from collections import deque
from collections.abc import Mapping, Sequence

from headway.bench.report import Answer, meets
from headway.bench.workload import Arrival
from headway.core.slo import ServiceClass
from headway.core.types import Event, Finished, Reason, Refused, Stepped, Token


class Judge:
    """`tolerated`: the share of its requests that a class with targets may miss before all is decided.

    It holds 8 bytes a token and 200 a request. Whoever wants to know more overrides `finished` and `stepped`.
    """

    def __init__(
        self,
        arrivals: Sequence[Arrival],
        classes: Mapping[str, ServiceClass],
        window_s: float,
        tolerated: float,
    ) -> None:
        self._judged = [a for a in arrivals if a.at_s < window_s]
        self._targets = {name: c.targets for name, c in classes.items()}
        self._stamps = [array("d") for _ in arrivals]
        self._complete = [False] * len(arrivals)
        self._ended = [False] * len(arrivals)
        self._open = len(self._judged)
        self._missed = [False] * len(arrivals)
        self._awaited = {name: deque[int]() for name in self._targets}  # first tokens, in order of arrival
        counts = dict.fromkeys(self._targets, 0)
        for id, arrival in enumerate(self._judged):
            counts[arrival.service_class] += 1
            self._awaited[arrival.service_class].append(id)
        self._left = {name: tolerated * count for name, count in counts.items()}  # misses it may still have

    @property
    def undecided(self) -> bool:
        return self._open > 0 and min(self._left.values()) >= 0

    @property
    def stopped(self) -> bool:
        """Decided while requests were open: of those nobody knows how they would have fared."""
        return self._open > 0 and not self.undecided

    def publish(self, now: float, events: Sequence[Event]) -> None:
        stamps = self._stamps
        for event in events:
            if type(event) is Token:
                stamps[event.request_id].append(event.at_s)
            elif type(event) is Stepped:
                self.stepped(event)
            elif type(event) is Finished:
                self._end(event.request_id, complete=event.reason in (Reason.STOP, Reason.LENGTH))
                self.finished(event)
            elif type(event) is Refused:
                self._end(event.request_id, complete=False)
                self.refused(event)
        for name, awaited in self._awaited.items():
            patience_s = self._targets[name].ttft_s
            if patience_s is not None:
                self._await(awaited, now, patience_s)

    def finished(self, event: Finished) -> None:
        """One more has ended."""

    def refused(self, event: Refused) -> None:
        """One more was not let in."""

    def stepped(self, frame: Stepped) -> None:
        """One more step has ended."""

    def _end(self, id: int, *, complete: bool) -> None:
        self._complete[id], self._ended[id] = complete, True
        if id < len(self._judged):
            self._open -= 1
            if not meets(self._answer(id), self._targets[self._judged[id].service_class]):
                self._miss(id)

    def _await(self, awaited: deque[int], now: float, patience_s: float) -> None:
        """First tokens that have come too late, or would come too late now."""
        while awaited and now - self._judged[awaited[0]].at_s > patience_s:
            id = awaited.popleft()
            first_s = self._stamps[id][0] if self._stamps[id] else now
            if first_s - self._judged[id].at_s > patience_s:
                self._miss(id)

    def _miss(self, id: int) -> None:
        if not self._missed[id]:
            self._missed[id] = True
            name = self._judged[id].service_class
            self._left[name] -= any(target is not None for target in self._targets[name])

    def _answer(self, id: int) -> Answer:
        arrival = self._judged[id]
        return Answer(
            arrival.service_class, arrival.at_s, self._stamps[id], self._complete[id], arrival.tokens
        )

    def answers(self) -> list[Answer]:
        return [self._answer(id) for id in range(len(self._judged))]
