"""The one loop of the project, in every world. Data flows one way: request -> plan -> step -> events."""

from dataclasses import dataclass

from headway.core.ports import Clock, Executor, ExecutorDied, Inbox, Sink
from headway.core.scheduler import Scheduler
from headway.core.types import Cancel, Event, Retune, Retuned


@dataclass(eq=False)
class Engine:
    clock: Clock
    inbox: Inbox
    executor: Executor
    sink: Sink
    scheduler: Scheduler

    def run(self) -> None:
        """Serve until the inbox says closed. Raises ExecutorDied after every open request has had its end."""
        while self.turn():
            pass

    def turn(self) -> bool:
        """Commit what is done, take arrivals, fill the executor, and only then publish: it waits for no sink;
        wait. False: closed."""
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
        while len(self.scheduler.in_flight) < self.executor.depth:
            batch, wake_s, ended = self.scheduler.plan(now)
            events += ended
            if batch is None:
                break
            self.executor.submit(batch)
        return wake_s
