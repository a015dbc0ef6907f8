"""What is open, from the moment when it is let in: aborts that come before the engine has heard of it."""

from array import array
from collections.abc import Sequence
from contextlib import suppress
from typing import cast

import pytest

from headway.core.types import Finished, Reason, Request, Sampling, Shares, Token
from headway.server.engine_client import EngineClient
from headway.server.listening import Aborted, Listening
from headway.server.open_exchanges import OpenExchanges

request = Request(1, array("i", [1]), Sampling(), arrival_s=0.0)
end = Finished(1, 0, Reason.STOP, 1.0, 1, 0, 1, Shares())


class Engine:
    """Takes requests, and ends them when it is told."""

    def submit(self, requests: Sequence[Request]) -> Listening:
        return Listening(requests, lambda cancel: None, lambda id: None)

    def abort(self, listening: Listening) -> bool:
        return bool(listening.open_ids)


def exchanges() -> OpenExchanges:
    return OpenExchanges(cast(EngineClient, Engine()))


def test_each_is_there_until_its_end_whatever_that_is() -> None:
    open_exchanges = exchanges()
    with open_exchanges.enter(frozenset(("a",)), "chat") as first:
        with suppress(KeyError), open_exchanges.enter(frozenset(("b",)), "batch") as second:
            assert list(open_exchanges) == [first, second]
            raise KeyError
        assert list(open_exchanges) == [first]
        assert (first.ids, first.service_class, first.waits) == ({"a"}, "chat", True)
    assert len(open_exchanges) == 0


def test_one_whose_prompt_is_still_being_read_is_never_handed_in() -> None:
    with exchanges().enter(frozenset(("a",)), "chat") as exchange:
        assert exchange.abort()
        assert not exchange.abort(), "it counts once"
        with pytest.raises(Aborted):
            exchange.submit([request])


def test_one_that_has_had_a_token_does_not_wait() -> None:
    with exchanges().enter(frozenset(("a",)), "chat") as exchange:
        listening = exchange.submit([request])
        assert exchange.waits
        listening.hear(Token(1, 0, 5, 0.5))
        assert not exchange.waits


def test_of_one_whose_answer_is_made_there_is_nothing_to_end() -> None:
    with exchanges().enter(frozenset(("a",)), "chat") as exchange:
        listening = exchange.submit([request])
        listening.hear(Token(1, 0, 5, 0.5))
        listening.hear(end)
        assert not exchange.abort()
