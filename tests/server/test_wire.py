"""Frames: what is put in comes out, however the bytes are cut; what no honest peer sends is refused."""

from array import array
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway.classes import read_classes
from headway.core.types import (
    Accepted,
    Cancel,
    Event,
    Finished,
    Logprob,
    PromptScored,
    Reason,
    Refusal,
    Refused,
    Request,
    Retune,
    Retuned,
    Sampling,
    Shares,
    Stepped,
    Token,
)
from headway.server.wire import (
    BadFrame,
    Change,
    Events,
    Facts,
    Splitter,
    Withdraw,
    events_frame,
    header_bytes,
    read_letter,
    read_report,
    request_frame,
    to_frame,
)

token_ids = st.integers(0, 2**31 - 1)
numbers = st.integers(0, 2**53)
seconds = st.floats(allow_nan=False, allow_infinity=False)
logprobs = st.builds(
    Logprob,
    token_ids,
    st.floats(allow_nan=False),
    st.lists(st.tuples(token_ids, st.floats(allow_nan=False)), max_size=3).map(tuple),
)
samplings = st.builds(
    Sampling,
    max_tokens=st.integers(1, 2**24),
    temperature=st.floats(0, 2),
    logit_bias=st.lists(st.tuples(token_ids, st.floats(-100, 100)), max_size=3).map(tuple),
    seed=st.none() | st.integers(0, 2**63 - 1),
    logprobs=st.none() | st.integers(0, 20),
    stop_ids=st.lists(token_ids, max_size=3).map(tuple),
    stop_strings=st.lists(st.text(min_size=1), max_size=3).map(tuple),
)
requests = st.builds(
    Request,
    id=numbers,
    prompt=st.lists(token_ids, min_size=1, max_size=50).map(lambda ids: array("i", ids)),
    sampling=samplings,
    arrival_s=seconds,
    choices=st.integers(1, 128),
    service_class=st.text(max_size=20),
    cache_salt=st.binary(max_size=20),
)
cancels = st.builds(
    Cancel,
    numbers,
    st.none() | st.integers(0, 127),
    st.sampled_from(Reason),
    st.none() | st.integers(0, 9999),
)
events = st.one_of(
    st.builds(Accepted, numbers, seconds, st.text()),
    st.builds(Refused, numbers, seconds, st.sampled_from(Refusal), st.text(), st.none() | seconds),
    st.builds(Token, numbers, st.integers(0, 127), token_ids, seconds, st.none() | logprobs),
    st.builds(PromptScored, numbers, st.integers(0, 127), st.lists(logprobs, max_size=3).map(tuple)),
    st.builds(
        Finished,
        numbers,
        st.integers(0, 127),
        st.sampled_from(Reason),
        seconds,
        *[numbers] * 3,
        st.builds(Shares, *[numbers] * 6),
        st.text(),
    ),
    st.builds(Stepped, seconds, seconds, *[numbers] * 14, seconds, seconds),
    st.builds(Retuned, numbers, seconds),
)


def body(frame: bytes) -> bytes:
    return frame[header_bytes:]


@given(requests)
def test_a_request_comes_out_as_it_went_in(request: Request) -> None:
    assert read_letter(body(request_frame(request))) == request


@given(cancels)
def test_a_cancel_comes_out_as_it_went_in(cancel: Cancel) -> None:
    assert read_letter(body(to_frame(Withdraw(cancel)))) == cancel


@pytest.mark.parametrize("policy", [None, "adaptive"])
def test_a_live_change_comes_out_as_it_went_in(policy: str | None) -> None:
    classes = tuple(read_classes("gold:ttft=1ms,weight=2.5,on-overload=downgrade:batch,max-wait=2s").values())
    assert read_letter(body(to_frame(Change(7, classes, policy)))) == Retune(7, classes, policy)


def test_a_class_that_contradicts_itself_does_not_cross() -> None:
    frame = body(to_frame(Change(7, tuple(read_classes("gold:level=1").values()), None)))
    with pytest.raises(BadFrame):
        read_letter(frame.replace(b"\xa6weight\xcb?\xf0", b"\xa6weight\xcb\xbf\xf0"))  # -1.0


@given(st.lists(events, max_size=20))
def test_events_come_out_whole_and_each_kind_in_its_order(sent: list[Event]) -> None:
    report = read_report(body(events_frame(sent)))
    assert isinstance(report, Events)
    received = list(report.in_order())
    for kind in {type(event) for event in sent}:
        assert [e for e in received if type(e) is kind] == [e for e in sent if type(e) is kind]
    assert len(received) == len(sent)


def test_a_choices_own_events_keep_the_order_of_its_life() -> None:
    score = PromptScored(1, 0, ())
    end = Finished(1, 0, Reason.STOP, 2.0, 1, 0, 1, Shares())
    life: list[Event] = [Accepted(1, 0.0, "chat"), score, Token(1, 0, 5, 1.0), Token(1, 0, 6, 2.0), end]
    report = read_report(body(events_frame(life)))
    assert isinstance(report, Events)
    assert list(report.in_order()) == life


@given(st.lists(st.binary(max_size=40), max_size=10), st.data())
def test_a_stream_cut_anywhere_gives_the_same_frames(bodies: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(len(each).to_bytes(header_bytes, "big") + each for each in bodies)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    splitter, found = Splitter(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += splitter.push(stream[start:end])
    assert found == bodies


def test_a_length_over_the_limit_is_refused_before_its_body_comes() -> None:
    with pytest.raises(BadFrame, match="limit"):
        Splitter(limit=100).push((101).to_bytes(header_bytes, "big"))


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_and_do_no_other_harm(junk: bytes) -> None:
    for read in (read_letter, read_report):
        with suppress(BadFrame):
            read(junk)


@given(requests, st.integers(0), st.binary(min_size=1, max_size=4))
def test_a_damaged_request_is_refused_or_still_one_that_the_engine_can_take(
    request: Request, place: int, damage: bytes
) -> None:
    whole = body(request_frame(request))
    at = place % len(whole)
    try:
        letter = read_letter(whole[:at] + damage + whole[at + len(damage) :])
    except BadFrame:
        return
    if isinstance(letter, Request):
        assert min(len(letter.prompt), letter.choices, letter.sampling.max_tokens) >= 1


@pytest.mark.parametrize(
    "damage",
    [
        {"prompt": array("i")},
        {"prompt": array("i", [-1])},
        {"choices": 0},
        {"sampling": Sampling(max_tokens=0)},
    ],
)
def test_a_request_that_no_door_lets_through_is_refused(damage: dict[str, object]) -> None:
    fields = {"id": 1, "prompt": array("i", [1]), "sampling": Sampling(), "arrival_s": 0.0} | damage
    with pytest.raises(BadFrame):
        read_letter(body(request_frame(Request(**fields))))  # type: ignore[arg-type]


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(BadFrame):
        read_report(b"\x91" * 100_000)


def test_facts_cross() -> None:
    facts = Facts(vocab=10, max_model_len=20, block_size=4, blocks=5, max_queued=6)
    assert read_report(body(to_frame(facts))) == facts
