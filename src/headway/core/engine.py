"""The one loop of the whole project, in every world: serving, simulation, tests.

Data flows one way: request -> plan -> step -> events. The engine knows neither what a clock reads nor where
arrivals come from; it moves letters between the four ports and the scheduler.
"""

from headway.core.ports import Clock, Executor, ExecutorDied, Inbox, Sink
from headway.core.scheduler import Scheduler
from headway.core.types import Cancel, Event, Retune, Retuned


class Engine:
    def __init__(
        self, clock: Clock, inbox: Inbox, executor: Executor, sink: Sink, scheduler: Scheduler
    ) -> None:
        self.clock = clock
        self.inbox = inbox
        self.executor = executor
        self.sink = sink
        self.scheduler = scheduler
        self.in_flight = 0  # batches

    def run(self) -> None:
        """Serve until the inbox says closed. Raises ExecutorDied after every open request has had its end."""
        while self.turn():
            pass

    def turn(self) -> bool:
        """Commit what is done, take arrivals, keep the executor full, publish, wait. False: closed.

        The next batch starts before the last one's tokens go out, so the device does not wait for the sink.
        """
        events: list[Event] = []
        try:
            wake_s = self._step(events)
        except ExecutorDied as died:
            events += self.scheduler.abandon(str(died), self.clock.now())
            self.sink.publish(self.clock.now(), events)
            raise
        if events:
            self.sink.publish(self.clock.now(), events)
        return self.inbox.wait(wake_s)

    def _step(self, events: list[Event]) -> float | None:
        while (result := self.executor.collect()) is not None:
            self.in_flight -= 1
            events += self.scheduler.commit(result)
        now = self.clock.now()
        for letter in self.inbox.take(now):
            if isinstance(letter, Cancel):
                events += self.scheduler.cancel(letter, now)
            elif isinstance(letter, Retune):
                self.scheduler.retune({each.name: each for each in letter.classes}, letter.policy)
                events.append(Retuned(letter.id, now))
            else:
                events += self.scheduler.add(letter, now)
        wake_s = None
        while self.in_flight < self.executor.depth:
            batch, wake_s, ended = self.scheduler.plan(now)
            events += ended
            if batch is None:
                break
            self.executor.submit(batch)
            self.in_flight += 1
        return wake_s
