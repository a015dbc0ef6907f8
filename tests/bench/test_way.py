"""What serving over HTTP adds, measured on a server whose own times are known."""

import asyncio
from statistics import median

import pytest
from mock_server import Mock

from headway.bench.client import Exchange
from headway.bench.served import Usage
from headway.bench.way import Place, Way, gaps_of, measure_way, quietest, together
from headway.bench.wire import Asked, read_target


def exchange(*stamps: float) -> Exchange:
    return Exchange(Asked(0.0, "batch", [1], 3), 0.0, stamps=list(stamps))


def test_gaps_count_while_everyone_streams() -> None:
    found = gaps_of([exchange(1.0, 2.0, 3.0, 4.0), exchange(1.9, 3.1, 4.1, 5.0)])
    assert found == pytest.approx([1.0, 1.0, 1.2])
    assert gaps_of([exchange(1.0, 2.0), exchange(3.0, 4.5)]) == [1.0, 1.5]


async def measured(gap_s: float, in_engine_s: float, step_s: float, max_model_len: int = 2048) -> Way:
    mock = Mock(gap_s, gap_s, in_engine_s=in_engine_s)
    server = await asyncio.start_server(mock.serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        place = Place(read_target(url, "m"), 300, max_model_len, lambda: None)
        return await measure_way(place, lambda slices: step_s)


def test_a_request_s_way_is_what_its_client_waits_beyond_the_engine_s_account() -> None:
    way = asyncio.run(measured(gap_s=0.03, in_engine_s=0.01, step_s=0.025))
    assert [size for size, _ in way.gaps_s] == list(together)
    assert 0.004 < way.gaps_s[0][1] < 0.05
    assert [size for size, _ in way.requests_s] == [16, 64, 128, 240]
    assert 0.02 <= median(took_s for _, took_s in way.requests_s) < 0.07


def test_prompts_that_the_model_cannot_hold_are_not_asked_for_and_nothing_is_below_nothing() -> None:
    way = asyncio.run(measured(gap_s=0.002, in_engine_s=1.0, step_s=1.0, max_model_len=200))
    assert [size for size, _ in way.requests_s] == [16, 64, 128]
    assert all(0 < took_s <= 1e-7 for _, took_s in (*way.requests_s, *way.gaps_s))


def test_what_others_disturb_is_made_again_and_the_quietest_counts() -> None:
    taken, uses = iter((0.9, 0.3, 0.5)), list[Usage]()

    def usage() -> Usage:
        last = uses[-1] if uses else Usage(0.0, 0.0, 0.0, 0.0)
        busy_s = next(taken) if len(uses) % 2 else 0.0
        uses.append(Usage(last.at_s + 1.0, 0.0, last.busy_s + busy_s, 0.0))
        return uses[-1]

    made = iter("abc")

    async def measure() -> str:
        return next(made)

    place = Place(read_target("http://nowhere", "m"), 300, 2048, usage)
    assert asyncio.run(quietest(place, measure)) == "b"
    assert len(uses) == 6
