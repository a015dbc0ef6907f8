"""One continuation: which text, tokens and log-probabilities count, and when they go out."""

from array import array
from collections.abc import Sequence
from typing import Any

from headway.core.types import Finished, Logprob, Reason, Request, Sampling, Shares, Token
from headway.server.choice import Choice
from tests.server.byte_text import byte_tokenizer
from tests.server.scripted_engine import end_token

begin_token = 257
tokenizer = byte_tokenizer()


def choice(**sampling: Any) -> Choice:
    request = Request(1, array("i", [1]), Sampling(stop_ids=(end_token,), **sampling), arrival_s=0.0)
    return Choice(request, 0, 0, tokenizer)


def token(id: int, *, scored: bool = False) -> Token:
    return Token(1, 0, id, 1.0, Logprob(id, -0.5, ()) if scored else None)


def finished(reason: Reason, tokens: int) -> Finished:
    return Finished(1, 0, reason, 2.0, 1, 0, tokens, Shares())


def texts(one: Choice, data: bytes) -> list[str | None]:
    """What goes out after each byte."""
    found = []
    for byte in data:
        one.push(token(byte))
        delta = one.take()
        found.append(None if delta is None else delta.text)
    return found


def test_a_character_goes_out_when_it_is_whole() -> None:
    assert texts(choice(), "aé".encode()) == ["a", "", "é"]


def test_nothing_goes_out_twice() -> None:
    one = choice()
    one.push(token(97))
    assert one.take() is not None
    assert one.take() is None


def test_the_end_token_counts_and_has_no_text() -> None:
    one = choice()
    one.push(token(97))
    one.push(token(end_token))
    one.finish(finished(Reason.STOP, 2))
    delta = one.take()
    assert delta is not None
    assert (delta.text, delta.reason, one.output_tokens) == ("a", Reason.STOP, 2)


def test_a_stop_string_is_found_once_and_nothing_after_it_counts() -> None:
    one = choice(stop_strings=("bc",))
    assert [one.push(token(byte)) for byte in b"abcd"] == [False, False, True, False]
    one.finish(finished(Reason.STOP, 3))
    delta = one.take()
    assert delta is not None
    assert (delta.text, delta.tokens, one.output_tokens) == ("a", tuple(b"abc"), 3)


def test_a_stop_string_that_crosses_the_end_by_length_is_still_a_stop() -> None:
    one = choice(stop_strings=("bc",))
    for byte in b"abc":
        one.push(token(byte))
    one.finish(finished(Reason.LENGTH, 3))
    delta = one.take()
    assert delta is not None
    assert delta.reason is Reason.STOP


def test_log_probabilities_go_out_with_their_text() -> None:
    one = choice(stop_strings=("bc",))
    counts = []
    for byte in b"abx":
        one.push(token(byte, scored=True))
        delta = one.take()
        counts.append(0 if delta is None else len(delta.logprobs))
    assert counts == [1, 0, 2]


def test_every_token_has_its_log_probability_in_the_end() -> None:
    one = choice(stop_strings=("bc",))
    for byte in b"ab":
        one.push(token(byte, scored=True))
    one.finish(finished(Reason.LENGTH, 2))
    delta = one.take()
    assert delta is not None
    assert [scored.token for scored in delta.logprobs] == list(b"ab")


def test_no_log_probability_tells_of_a_stop_string_however_often_it_is_looked_for() -> None:
    whole, piecewise = choice(stop_strings=("bcd",)), choice(stop_strings=("bcd",))
    told = []
    for byte in b"abcd":
        whole.push(token(byte, scored=True))
        piecewise.push(token(byte, scored=True))
        if (delta := piecewise.take()) is not None:
            told += [scored.token for scored in delta.logprobs]
    for one in (whole, piecewise):
        one.finish(finished(Reason.STOP, 4))
    end, last = whole.take(), piecewise.take()
    assert end is not None
    assert last is not None
    assert [scored.token for scored in end.logprobs] == list(b"a")
    assert (told, last.logprobs) == (list(b"a"), ())


def test_a_log_probability_waits_for_its_own_token_s_text() -> None:
    one = choice(stop_strings=("bcd",))
    for byte in b"ab":
        one.push(token(byte, scored=True))
    delta = one.take()
    assert delta is not None
    assert (delta.text, [scored.token for scored in delta.logprobs]) == ("a", list(b"a"))


def starts(one: Choice, tokens: Sequence[int]) -> list[int]:
    """Of every token that has its log-probability told, however its text came."""
    found: list[int] = []
    for id in tokens:
        one.push(token(id, scored=True))
        if (delta := one.take()) is not None:
            found += delta.starts
    one.finish(finished(Reason.LENGTH, len(tokens)))
    last = one.take()
    assert last is not None
    return [*found, *last.starts]


def test_a_token_starts_where_the_text_before_it_ends() -> None:
    assert starts(choice(), b"abc") == [0, 1, 2]


def test_the_tokens_of_one_character_start_together() -> None:
    assert starts(choice(), "aéb".encode()) == [0, 1, 1, 2]


def test_special_tokens_take_no_room() -> None:
    assert starts(choice(), [97, begin_token, 98, end_token]) == [0, 1, 1, 2]


def test_held_text_takes_its_room() -> None:
    assert starts(choice(stop_strings=("bcd",)), b"abcx") == [0, 1, 2, 3]


def test_the_tokens_of_a_stop_string_start_nowhere() -> None:
    assert starts(choice(stop_strings=("bcd",)), b"abcd") == [0]


def test_an_echoed_prompt_has_no_room_for_what_stands_around_it() -> None:
    one = choice()
    prompt = (begin_token, *"aé".encode())
    one.echo("aé", [Logprob(id, -0.5, ()) for id in prompt])
    assert starts(one, b"x") == [0, 0, 1, 1, 2]


def test_an_echoed_special_token_has_its_room_where_the_prompt_shows_it() -> None:
    one = choice()
    one.echo("<|begin|>a", [Logprob(id, -0.5, ()) for id in (begin_token, 97)])
    assert starts(one, b"x") == [0, 9, 10]
