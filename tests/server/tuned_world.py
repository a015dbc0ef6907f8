"""Live changes on a virtual clock, over an engine that does nothing but take them."""

import asyncio
from array import array
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import cast

from headway.classes import read_classes
from headway.clock import VirtualClock
from headway.core.slo import ServiceClass
from headway.core.types import Accepted, Finished, Reason, Request, Sampling, Shares, Token
from headway.metrics.ledger import Ledger
from headway.server.engine_client import EngineClient
from headway.server.listening import EngineGone
from headway.server.schema import Tune
from headway.server.settings import ServerSettings
from headway.server.slo import slo_json
from headway.server.tuning import Tuning

settings = ServerSettings(
    model="m",
    classes=read_classes("gold:ttft=1s;silver:ttft=1s,on-overload=downgrade:gold"),
    policy="stall-free",
    policies=("stall-free", "adaptive"),
    default_class="silver",
)


class Engine:
    """Takes changes at once, unless it is to be slow; remembers them."""

    def __init__(self, clock: VirtualClock) -> None:
        self.taken: list[tuple[Mapping[str, ServiceClass], str | None]] = []
        self.slow = self.gone = False
        self._clock = clock

    def retune(self, classes: Iterable[ServiceClass], policy: str | None) -> "asyncio.Future[float]":
        if self.gone:
            raise EngineGone("it ended")
        self.taken.append(({each.name: each for each in classes}, policy))
        applied: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        if not self.slow:
            applied.set_result(self._clock.now())
        return applied


class World:
    def __init__(self) -> None:
        self.clock = VirtualClock(1000.0)
        self.engine = Engine(self.clock)
        self.ledger = Ledger(settings.classes)
        engine = cast(EngineClient, self.engine)
        self.tuning = Tuning(settings, engine, self.ledger, self.clock.now, self._sleep)
        self._alarms: list[tuple[float, asyncio.Event]] = []
        self._id = 0

    async def _sleep(self, seconds: float) -> None:
        alarm = asyncio.Event()
        self._alarms.append((self.clock.now() + seconds, alarm))
        await alarm.wait()

    async def change(self, **fields: object) -> None:
        self.tuning.change(Tune.model_validate(fields))
        await self.settle()

    async def move(self, seconds: float) -> None:
        self.clock.move_to(self.clock.now() + seconds)
        for at_s, alarm in self._alarms:
            if at_s <= self.clock.now():
                alarm.set()
        await self.settle()

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    def serve(self, name: str, good: int, late: int = 0) -> None:
        """Requests that end now, the late ones two seconds after they came."""
        for waited_s in (0.1,) * good + (2.0,) * late:
            self._id += 1
            now_s = self.clock.now()
            request = Request(self._id, array("i", [1]), Sampling(), now_s - waited_s, service_class=name)
            self.ledger.opened(request)
            end = Finished(self._id, 0, Reason.STOP, now_s, 1, 0, 1, Shares())
            self.ledger.add([Accepted(self._id, now_s, name), Token(self._id, 0, 5, now_s), end])

    def wait(self, name: str, count: int) -> None:
        """Requests that come now and stay open."""
        for _ in range(count):
            self._id += 1
            self.ledger.opened(
                Request(self._id, array("i", [1]), Sampling(), self.clock.now(), service_class=name)
            )

    @property
    def live(self) -> dict:
        return slo_json(self.ledger, self.tuning, self.clock.now())["live"]


def in_a_world(story: Callable[[World], Awaitable[None]]) -> World:
    async def run() -> World:
        world = World()
        await story(world)
        world.tuning.close()
        return world

    return asyncio.run(run())
