"""What one request's listener may leave unread."""

import asyncio
from array import array

import pytest

from headway.core.types import Logprob, Request, Sampling, Token
from headway.server.listening import Listening, TooSlow

request = Request(7, array("i", [1]), Sampling(), arrival_s=0.0)


async def _heard(event: Token, times: int, *, read_every: int) -> int:
    """How many events were read. Raises TooSlow once what was kept before the break has been."""
    listening = Listening([request], cancel=lambda cancel: None, forget=lambda id: None)
    read = 0
    for i in range(times):
        listening.hear(event)
        if i % read_every == read_every - 1:
            read += len(await listening.next())
    return read


plain = Token(7, 0, 5, 1.0)
scored = plain._replace(logprob=Logprob(5, -0.5, ((5, -0.5),) * 20))


def test_the_more_an_event_holds_the_fewer_may_wait() -> None:
    assert asyncio.run(_heard(plain, 100_000, read_every=100_000)) == 100_000
    assert asyncio.run(_heard(scored, 100_000, read_every=100_000)) < 40_000


def test_who_reads_may_hear_any_number() -> None:
    assert asyncio.run(_heard(scored, 100_000, read_every=1_000)) == 100_000


def test_who_left_too_much_reads_what_there_was_and_then_that_it_is_over() -> None:
    with pytest.raises(TooSlow):
        asyncio.run(_heard(scored, 200_000, read_every=100_000))
