"""Admission: who is told to come again finds room then, and who never comes keeps nobody out."""

from array import array
from dataclasses import replace

from headway.core.admission import Admission
from headway.core.forecast import Profile
from headway.core.learned import Learned, Record
from headway.core.limits import Limits
from headway.core.memory import paged
from headway.core.residency import Residency
from headway.core.sequence import Sequence
from headway.core.slo import CHAT, Overload
from headway.core.types import Refusal, Refused, Request, Sampling

CLASS = replace(CHAT, ttft_p95_s=1.0, on_overload=Overload.REFUSE)
LIMITS = Limits(
    max_seqs=8, max_step_tokens=512, max_queued=500, block_size=16, blocks=400, max_model_len=4096
)


def asks(now: float, tokens: int = 400, text: int = 0) -> Request:
    return Request(1, array("i", [text] * tokens), Sampling(), now)


class Door:
    """A queue that takes in a token a millisecond, and has `ahead` tokens."""

    def __init__(self) -> None:
        self.residency = Residency(LIMITS, paged)
        self.admission = Admission(self.residency, Learned({"chat": CLASS}, Profile()))
        self.admission.observe(1.0, 1000)

    def queue(self, tokens: int, since: float = 0.0) -> None:
        waiting = Sequence(0, asks(since, tokens), 0, since)
        waiting.serve_as(CLASS, 0, Record())
        self.residency.waiting = [waiting]

    def ask(self, now: float, *, text: int = 0, tokens: int = 400, queued: int = 1) -> Refused | None:
        asked = Sequence(1, asks(now, tokens, text), 0, now)
        verdict = self.admission.judge(asked, queued, now, idle=False)
        return verdict if isinstance(verdict, Refused) else None


def test_who_comes_too_late_is_refused_with_the_numbers_and_when_to_come_again():
    door = Door()
    door.queue(600)
    assert door.ask(0.0) is None
    door.queue(3000)
    refused = door.ask(0.0)
    assert refused is not None
    assert refused.reason is Refusal.TOO_LATE
    assert "3.4 s" in refused.message
    assert "1.0 s" in refused.message
    assert refused.retry_after_s == 3, "2.4 s until 600 tokens are ahead, told in whole seconds"


def test_whom_an_idle_engine_would_serve_too_late_as_well_is_let_in_for_no_wait_would_mend_it():
    door = Door()
    door.queue(3000)
    assert door.ask(0.0, tokens=3000) is None


def test_with_nobody_ahead_a_slow_queue_of_before_says_nothing():
    door = Door()
    door.admission.observe(4.0, 40)
    assert door.ask(0.0) is None
    door.queue(100)
    assert door.ask(0.0) is not None


def test_equals_that_are_late_are_not_ahead():
    door = Door()
    door.queue(3000)
    assert door.ask(0.9) is not None
    assert door.ask(1.1) is None


def test_a_full_queue_tells_times_as_far_apart_as_its_prompts_take():
    door = Door()
    door.queue(2000)
    refused = [door.ask(0.0, queued=LIMITS.max_queued) for _ in range(3)]
    assert {each.reason for each in refused} == {Refusal.OVERLOADED}
    assert [each.retry_after_s for each in refused] == [2, 5, 7]


def test_a_prompt_that_the_prefix_index_has_needs_no_time_for_it():
    door = Door()
    door.queue(700)
    assert door.ask(0.0, text=7) is not None
    known = Sequence(1, asks(0.0, text=7), 0, 0.0)
    for block, name in enumerate(known.name_blocks(400, LIMITS.block_size)):
        assert door.residency.pool.take(1) == [block]
        door.residency.pool.index(block, name)
    assert door.ask(0.0, text=7) is None
    assert door.ask(0.0, text=8) is not None


def test_many_who_are_refused_are_told_different_times_as_far_apart_as_their_work():
    door = Door()
    door.queue(3000)
    times = [door.ask(0.0).retry_after_s for _ in range(20)]
    assert times == sorted(times)
    assert 19 * 0.4 / 0.8 - 1 <= times[-1] - times[0] <= 19 * 0.4 / 0.8 + 1


def test_a_newcomer_gives_way_to_those_who_were_told_to_come_now():
    door = Door()
    door.queue(3000)
    again_s = door.ask(0.0, text=7).retry_after_s
    door.queue(300, since=again_s)
    assert door.ask(again_s, text=8) is not None
    assert door.ask(again_s, text=7) is None


def test_a_retry_finds_no_more_room_than_there_is():
    door = Door()
    door.queue(3000)
    again_s = door.ask(0.0, text=7).retry_after_s
    door.queue(3000, since=again_s)
    assert door.ask(again_s, text=7) is not None


def test_who_comes_again_at_another_time_than_told_is_a_newcomer():
    door = Door()
    door.queue(3000)
    again_s = door.ask(0.0, text=7).retry_after_s
    for text in range(20):
        door.ask(0.0, text=text)
    door.queue(300, since=again_s + 10.0)
    assert door.ask(again_s + 10.0, text=7) is not None


def test_those_who_never_come_again_keep_nobody_out_for_long():
    door = Door()
    door.queue(3000)
    for text in range(100):
        door.ask(0.0, text=text)
    door.queue(300)
    let_in = [door.ask(now / 2, text=100 + now) is None for now in range(4, 200)]
    assert not any(let_in[:10])
    assert all(let_in[-80:])


def test_each_full_queue_is_told_of_as_if_there_had_been_none_long_before():
    door = Door()
    door.queue(2000)
    told = []
    for hour in range(4):
        refused = [door.ask(3600.0 * hour, queued=LIMITS.max_queued) for _ in range(20)]
        told.append(max(each.retry_after_s for each in refused))
    assert told == sorted(told, reverse=True)


def test_those_who_do_come_again_are_reckoned_with_again():
    door = Door()
    bookings = door.admission._bookings
    door.queue(3000)
    for text in range(40):
        door.ask(0.0, text=text)
    door.queue(1, since=100.0)
    door.ask(100.0, text=99)
    forgotten = bookings._returning
    for second in range(100, 200, 4):
        door.queue(3000, since=float(second))
        again_s = door.ask(float(second), text=second).retry_after_s
        door.queue(1, since=second + again_s)
        assert door.ask(second + again_s, text=second) is None
    assert forgotten < 0.2 < 0.6 < bookings._returning
