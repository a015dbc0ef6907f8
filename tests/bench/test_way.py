"""What serving over HTTP adds, measured on a server whose own times are known."""

import asyncio
from statistics import median

import pytest

from headway.bench.load import Asked, Exchange
from headway.bench.way import Place, Way, gaps_of, measure_way, together
from tests.bench.test_load import Scripted


def exchange(*stamps: float) -> Exchange:
    return Exchange(Asked(0.0, "batch", [1], 3), 0.0, stamps=list(stamps))


def test_gaps_count_while_everyone_streams() -> None:
    found = gaps_of([exchange(1.0, 2.0, 3.0, 4.0), exchange(1.9, 3.1, 4.1, 5.0)])
    assert found == pytest.approx([1.0, 1.0, 1.2])


async def measured(gap_s: float, in_engine_s: float, step_s: float, max_model_len: int = 2048) -> Way:
    scripted = Scripted(gap_s=gap_s, in_engine_s=in_engine_s)
    server = await asyncio.start_server(scripted, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return await measure_way(Place(url, "m", 300, max_model_len), lambda slices: step_s)


def test_a_request_s_way_is_what_its_client_waits_beyond_the_engine_s_account_and_a_gap() -> None:
    way = asyncio.run(measured(gap_s=0.03, in_engine_s=0.01, step_s=0.025))
    assert [size for size, _ in way.gaps_s] == list(together)
    assert 0.004 < way.gaps_s[0][1] < 0.05
    assert [size for size, _ in way.requests_s] == [16, 64, 128, 240]
    least_s = 0.02 - way.gaps_s[0][1]
    assert least_s <= median(took_s for _, took_s in way.requests_s) < least_s + 0.05


def test_prompts_that_the_model_cannot_hold_are_not_asked_for_and_nothing_is_below_nothing() -> None:
    way = asyncio.run(measured(gap_s=0.002, in_engine_s=1.0, step_s=1.0, max_model_len=200))
    assert [size for size, _ in way.requests_s] == [16, 64, 128]
    assert all(0 < took_s <= 1e-7 for _, took_s in (*way.requests_s, *way.gaps_s))
