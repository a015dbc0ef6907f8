"""What the endpoints work with, and what they ask before they begin."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel
from starlette.requests import Request

from headway.server.body import parse, read_bytes
from headway.server.door import Door, now_s
from headway.server.engine_client import EngineClient, EngineState
from headway.server.errors import ApiError
from headway.server.open_exchanges import OpenExchanges
from headway.server.settings import ServerSettings
from headway.server.slo import Json
from headway.server.tuning import Tuning
from headway.server.validation import validate

B = TypeVar("B", bound=BaseModel)
_checked_here = 1 << 16  # bytes

_not_ready = {
    EngineState.STARTING: "the model is being loaded",
    EngineState.DRAINING: "the server drains: what is open is finished, nothing new is taken",
    EngineState.HUNG: "the engine does not answer",
    EngineState.DEAD: "the engine has ended",
}


@dataclass(frozen=True, slots=True)
class Received(Generic[B]):
    body: B
    arrival_s: float  # when its last byte had come


@dataclass(frozen=True, slots=True)
class Services:
    settings: ServerSettings
    client: EngineClient
    open_exchanges: OpenExchanges
    door: Door
    threads: ThreadPoolExecutor  # for what would hold the event loop up
    exposition: Callable[[], bytes]  # the text of /metrics
    tuning: Tuning
    promises: Callable[[], Json]  # /v1/slo
    version: str

    async def read(self, request: Request, kind: type[B]) -> Received[B]:
        """The request's body, checked; off the event loop where it is large. Raises ApiError."""
        data = await read_bytes(request, self.settings.body_bytes, self.settings.read_timeout_s)
        arrival_s = now_s()
        if len(data) <= _checked_here:
            return Received(validate(kind, parse(data)), arrival_s)
        work = asyncio.get_running_loop().run_in_executor(self.threads, lambda: validate(kind, parse(data)))
        return Received(await work, arrival_s)

    def standing(self) -> Json:
        """For /ready and a drain. `drained`: one is in force; a status of `draining` without is the end."""
        client = self.client
        return {"status": client.state, "drained": client.drained, "open": len(self.open_exchanges)}

    def require_ready(self) -> None:
        """Raises ApiError 503 while nothing can be generated."""
        state = self.client.state
        if state is not EngineState.READY:
            raise ApiError(503, _not_ready[state], code=f"engine_{state}", retry_after_s=5.0)

    def require_model(self, name: str | None) -> None:
        """Raises ApiError 404. None means the one that is served."""
        models = self.settings.models
        if name is not None and name not in models:
            words = f"the model {name[:80]!r} is not served here; {' or '.join(map(repr, models))} is"
            raise ApiError(404, words, param="model", code="model_not_found")
