"""Which exchanges are open: let in, and the answer not yet made. A drain waits for them, an abort ends some.

Owns that each is there from the moment when it is let in, however it ends, and that an abort reaches it
whenever it comes. Lives on one event loop.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from headway.core.types import Request
from headway.server.engine_client import EngineClient
from headway.server.listening import Aborted, Listening


class OpenExchange:
    """One that asks for text: its way to the engine, and the way of an abort to it."""

    def __init__(self, client: EngineClient, ids: frozenset[str], service_class: str) -> None:
        self.ids = set(ids)  # all that operators and clients may know it by
        self.service_class = service_class  # the one asked for
        self._client = client
        self._listening: Listening | None = None  # None: its prompt is still being read
        self._aborted = False  # before that was over

    @property
    def waits(self) -> bool:
        """It has had no token."""
        return self._listening is None or not self._listening.begun

    def submit(self, requests: Sequence[Request]) -> Listening:
        """As EngineClient does. Raises EngineGone, and Aborted where that came first."""
        if self._aborted:
            raise Aborted
        self._listening = self._client.submit(requests)
        return self._listening

    def abort(self) -> bool:
        """False: there is nothing left of it to end."""
        if self._listening is not None:
            return self._client.abort(self._listening)
        ends, self._aborted = not self._aborted, True
        return ends


class OpenExchanges:
    """In the order in which they came."""

    def __init__(self, client: EngineClient) -> None:
        self._client = client
        self._open: dict[OpenExchange, None] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[OpenExchange]:
        return iter(tuple(self._open))

    @contextmanager
    def enter(self, ids: frozenset[str], service_class: str) -> Iterator[OpenExchange]:
        exchange = OpenExchange(self._client, ids, service_class)
        self._open[exchange] = None
        try:
            yield exchange
        finally:
            del self._open[exchange]
