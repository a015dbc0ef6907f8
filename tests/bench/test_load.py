"""The client, on a clock that moves only while everyone waits: it measures exactly what was scripted."""

import asyncio
import json
from collections.abc import Iterable
from math import inf
from typing import Any

import pytest
from mock_server import Mock

from headway.bench.client import spread
from headway.bench.load import Played, check_answered, obeying, play
from headway.bench.wire import Asked, BadTarget, read_target
from tests.bench.virtual import InMemory, Line, run

target = read_target("http://mock:80", "m")


def asked(at_s: float = 0.0, output_tokens: int = 3) -> Asked:
    return Asked(at_s, "chat", [5, 6, 7], output_tokens)


def connected(mock: Mock) -> InMemory:
    async def serve(line: Line) -> None:
        body = line.request.partition(b"\r\n\r\n")[2]
        await mock.respond(json.loads(body), line.answer)

    return InMemory(serve)


def played(mock: Mock, schedule: Iterable[Asked], horizon_s: float = 100.0, **more: Any) -> Played:
    return run(play(schedule, target, horizon_s, connect=connected(mock), **more))


def test_each_request_is_sent_at_its_time_and_each_token_stamped() -> None:
    exchanges = played(Mock(0.25, 0.0625), [asked(0.0), asked(0.5, 4), asked(0.5)]).exchanges
    assert [e.dispatched_s for e in exchanges] == [e.sent_s for e in exchanges] == [0.0, 0.5, 0.5]
    assert [e.stamps for e in exchanges] == [
        [0.25, 0.3125, 0.375],
        [0.75, 0.8125, 0.875, 0.9375],
        [0.75, 0.8125, 0.875],
    ]
    assert [e.first_byte_s for e in exchanges] == [0.25, 0.75, 0.75]
    assert [e.ended_s for e in exchanges] == [0.375, 0.9375, 0.875]
    assert all(e.complete and e.guessed == 0 for e in exchanges)
    assert [(e.prompt_tokens, e.output_tokens) for e in exchanges] == [(3, 3), (3, 4), (3, 3)]
    answer = exchanges[1].answer
    assert (answer.arrival_s, answer.ttft_s, answer.e2e_s, answer.tokens) == (0.5, 0.25, 0.4375, 7)


def test_several_tokens_of_an_event_have_its_time_where_the_server_counts_them() -> None:
    (exchange,) = played(Mock(0.5, 0.25, per_event=2), [asked(output_tokens=5)]).exchanges
    assert exchange.stamps == [0.5, 0.5, 0.75, 0.75, 1.0]
    assert exchange.chunks_s == [0.5, 0.75, 1.0]


def test_where_it_does_not_they_are_spread_over_its_events_and_that_is_told() -> None:
    (exchange,) = played(Mock(0.5, 0.25, per_event=2, counts=False), [asked(output_tokens=6)]).exchanges
    assert exchange.stamps == [0.5, 0.5, 0.75, 0.75, 1.0, 1.0]
    assert (exchange.guessed, exchange.complete) == (3, True)


@pytest.mark.parametrize("tokens", [3, 4, 7, 100])
def test_tokens_are_spread_evenly_the_first_in_the_first_and_the_last_in_the_last(tokens: int) -> None:
    found = spread([1.0, 2.0, 3.0], tokens)
    assert (len(found), found[0], found[-1]) == (tokens, 1.0, 3.0)
    assert found == sorted(found)
    each = [found.count(at_s) for at_s in (1.0, 2.0, 3.0)]
    assert max(each) - min(each) <= 1


def test_a_stalled_server_s_delay_is_seen_by_who_was_meant_to_ask_then() -> None:
    """Open loop: the stall falls on everyone who was due in it. Closed loop: on one, for who waits asks
    nothing."""
    stalled = Mock(0.1, 0.0, stall_s=2.0, every_s=10.0)
    schedule = [asked(0.1 * i, 1) for i in range(400)]
    open_s = [a.ttft_s for a in played(stalled, schedule).answers]
    closed_s = [a.ttft_s for a in played(stalled, schedule, at_a_time=1).answers]
    assert sum(s > 0.5 for s in open_s) == pytest.approx(0.15 * 400, abs=4)
    assert sum(s > 0.5 for s in closed_s) < 0.015 * 400


def test_so_many_at_a_time_are_open_and_each_begins_when_one_has_ended() -> None:
    exchanges = played(Mock(1.0, 0.0), [asked(99.0, 1) for _ in range(5)], at_a_time=2).exchanges
    assert [e.dispatched_s for e in exchanges] == pytest.approx([0, 0, 1, 1, 2])
    assert [e.dispatched_s for e in exchanges] == [e.answer.arrival_s for e in exchanges]
    assert [e.answer.ttft_s for e in exchanges] == pytest.approx([1.0] * 5)


def test_so_many_at_a_time_ask_for_a_time_and_then_let_the_open_ones_end() -> None:
    endless = (asked(0.0, 1) for _ in iter(int, 1))
    exchanges = played(Mock(1.0, 0.0), endless, 9.0, at_a_time=2, until_s=2.5).exchanges
    assert [e.dispatched_s for e in exchanges] == pytest.approx([0, 0, 1, 1, 2, 2])
    assert all(e.complete for e in exchanges)


def test_what_is_unfinished_at_the_horizon_is_cut_off_and_counts_as_incomplete() -> None:
    short, long = played(Mock(0.1, 0.1), [asked(), asked(output_tokens=1000)], 2.05).answers
    assert (short.complete, long.complete) == (True, False)
    assert len(long.stamps) == 20


def test_a_server_from_which_nothing_comes_is_told_apart_from_one_that_is_slow() -> None:
    slow = played(Mock(20.0, 1.0), [asked()], horizon_s=5.0)
    check_answered(slow, "here")
    with pytest.raises(BadTarget, match="here nobody was answered within 5 s"):
        check_answered(slow, "here", 5.0)
    check_answered(played(Mock(0.5, 0.1), [asked()]), "here", 5.0)


def test_a_client_that_obeys_comes_again_when_it_was_told_to() -> None:
    refused, admitted = played(Mock(refused=1), [asked()], way=obeying).exchanges
    assert (refused.status, refused.complete, admitted.complete) == (429, False, True)
    assert admitted.dispatched_s == refused.dispatched_s + 1.0


def test_an_answer_that_ends_too_early_is_not_complete() -> None:
    async def serve(line: Line) -> None:
        await Mock().respond({"max_tokens": 2, "prompt": [1]}, line.answer)

    (exchange,) = run(play([asked()], target, 9.0, connect=InMemory(serve))).exchanges
    assert (len(exchange.stamps), exchange.complete) == (2, False)


def test_a_server_that_hangs_up_in_mid_answer_is_the_one_that_failed() -> None:
    async def serve(line: Line) -> None:
        answer = asyncio.ensure_future(Mock(0.1, 0.1).respond({"max_tokens": 3, "prompt": [1]}, line.answer))
        await asyncio.sleep(0.25)
        answer.cancel()

    (exchange,) = run(play([asked()], target, 9.0, connect=InMemory(serve))).exchanges
    assert (exchange.status, len(exchange.stamps), exchange.complete) == (200, 2, False)
    assert exchange.error == "the server closed the connection"


def test_a_server_that_says_nothing_more_is_given_up() -> None:
    silent, slow = Mock(first_s=0.5, gap_s=700.0), Mock(first_s=0.5, gap_s=500.0)
    (exchange,) = played(silent, [asked()], inf, at_a_time=1).exchanges
    assert (exchange.complete, exchange.error) == (False, "the server was silent for 600 s")
    assert exchange.ended_s == pytest.approx(600.5)
    assert played(slow, [asked()], inf, at_a_time=1).exchanges[0].complete


def test_a_loop_that_is_never_late_makes_a_valid_run() -> None:
    made = played(Mock(), [asked()])
    assert made.lag_p99_s == pytest.approx(0.0, abs=1e-12)
    assert made.valid


def test_over_a_socket_it_is_the_same_but_for_the_time_it_takes() -> None:
    async def main() -> Played:
        server = await asyncio.start_server(Mock(0.05, 0.02).serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await play([asked(), asked(0.1)], read_target(f"http://127.0.0.1:{port}", "m"), 30.0)

    for exchange in asyncio.run(main()).exchanges:
        assert exchange.complete
        assert len(exchange.stamps) == 3
        assert exchange.dispatched_s <= exchange.sent_s < exchange.first_byte_s <= exchange.stamps[0]
        assert exchange.stamps[-1] - exchange.asked.at_s >= 0.09


def test_nobody_there_is_an_answer_that_failed() -> None:
    (exchange,) = asyncio.run(play([asked()], read_target("http://127.0.0.1:9", "m"), 2.0)).exchanges
    assert (exchange.status, exchange.complete) == (None, False)
    assert exchange.error.startswith("127.0.0.1:9: ")
