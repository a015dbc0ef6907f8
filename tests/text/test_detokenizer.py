"""Text that streams: any split of the tokens gives the same text, and nothing of a stop string gets out."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headway.text.detokenizer import Detokenizer
from headway.text.tokenizer import Tokenizer, load_tokenizer
from tests.text import trained


class Letters:
    """A vocabulary of single bytes, so that characters can be cut: token 97 is `a`. 0 is special."""

    special_ids = frozenset({0})

    def token_bytes(self, id: int) -> bytes:
        return bytes([id])


class Words:
    """A vocabulary of whole strings."""

    special_ids = frozenset[int]()

    def __init__(self, *words: str) -> None:
        self._words = words

    def token_bytes(self, id: int) -> bytes:
        return self._words[id].encode()


def streamed(detokenizer: Detokenizer, parts: Sequence[Sequence[int]]) -> tuple[list[str], int | None]:
    """Each part's text, the flushed rest last; and where it stopped."""
    pieces = [detokenizer.push(part) for part in parts]
    stopped_at = next((piece.stopped_at for piece in pieces if piece.stopped_at is not None), None)
    return [*(piece.text for piece in pieces), detokenizer.flush()], stopped_at


def cut(ids: Sequence[int], places: Sequence[int]) -> list[Sequence[int]]:
    """`ids` cut at some places, which may repeat."""
    ends = [0, *sorted(place % (len(ids) + 1) for place in places), len(ids)]
    return [ids[start:end] for start, end in pairwise(ends)]


@pytest.fixture(scope="module")
def sentencepiece(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return load_tokenizer(trained.write_folder(trained.sentencepiece(), tmp_path_factory.mktemp("model")))


@given(ids=st.lists(st.integers(0, 49_151)), places=st.lists(st.integers(0, 1000), max_size=5))
@settings(max_examples=300, deadline=None)
def test_any_split_gives_the_text_of_the_whole(smollm2: Tokenizer, ids: list[int], places: list[int]) -> None:
    texts, stopped_at = streamed(Detokenizer(smollm2), cut(ids, places))
    assert "".join(texts) == smollm2.decode(ids)
    assert stopped_at is None


@given(text=st.text(st.sampled_from("a 😀é日\u0301\n")), places=st.lists(st.integers(0, 1000), max_size=5))
@settings(max_examples=300, deadline=None)
def test_no_piece_ends_inside_a_character(smollm2: Tokenizer, text: str, places: list[int]) -> None:
    texts, _ = streamed(Detokenizer(smollm2), cut(smollm2.encode(text, add_special=False), places))
    assert "\ufffd" not in "".join(texts)
    assert "".join(texts) == text


@given(ids=st.lists(st.integers(0, 259)), places=st.lists(st.integers(0, 1000), max_size=5))
@settings(max_examples=300, deadline=None)
def test_any_split_of_byte_tokens_gives_the_text_of_the_whole(
    sentencepiece: Tokenizer, ids: list[int], places: list[int]
) -> None:
    texts, _ = streamed(Detokenizer(sentencepiece), cut(ids, places))
    # a text's first space is the encoder's; a continuation's is its own
    assert "".join(texts).removeprefix(" ") == sentencepiece.decode(ids)


def test_a_continuation_keeps_the_space_that_begins_its_first_word(sentencepiece: Tokenizer) -> None:
    prompt, whole = (
        sentencepiece.encode(text, add_special=False) for text in ("The quick", "The quick brown")
    )
    assert whole[: len(prompt)] == prompt
    texts, _ = streamed(Detokenizer(sentencepiece), [whole[len(prompt) :]])
    assert "".join(texts) == " brown"


def test_a_character_is_given_when_its_last_byte_is_there() -> None:
    texts, _ = streamed(Detokenizer(Letters()), [[byte] for byte in "é€".encode()])
    assert texts == ["", "é", "", "", "€", ""]


def test_a_character_that_is_never_finished_becomes_a_replacement_at_the_end() -> None:
    texts, _ = streamed(Detokenizer(Letters()), [[0x61, 0xE2, 0x82]])
    assert texts == ["a", "\ufffd"]


def test_special_tokens_have_no_text_unless_asked_for() -> None:
    assert streamed(Detokenizer(Letters()), [[97, 0, 98]])[0] == ["ab", ""]
    assert streamed(Detokenizer(Letters(), skip_special=False), [[97, 0, 98]])[0] == ["a\x00b", ""]


def test_what_may_begin_a_stop_string_is_held_until_it_does_not() -> None:
    texts, stopped_at = streamed(Detokenizer(Letters(), ["abc"]), [[byte] for byte in b"xababd"])
    assert texts == ["x", "", "", "ab", "", "abd", ""]
    assert stopped_at is None


def test_what_is_held_at_the_end_is_given_then() -> None:
    texts, _ = streamed(Detokenizer(Letters(), ["abc"]), [b"xab"])
    assert texts == ["x", "ab"]


def test_the_text_ends_before_the_stop_string_and_the_token_that_completed_it_counts() -> None:
    words = Words("one", " tw", "o th", "ree")
    texts, stopped_at = streamed(Detokenizer(words, ["two"]), [[0], [1], [2], [3]])
    assert texts == ["one", " ", "", "", ""]
    assert stopped_at == 3


def test_tokens_after_the_stop_add_nothing() -> None:
    detokenizer = Detokenizer(Letters(), ["b"])
    assert detokenizer.push(b"abc") == ("a", 2)
    assert detokenizer.push(b"d") == ("", 2)
    assert detokenizer.flush() == ""


def test_the_first_stop_string_to_be_completed_stops() -> None:
    texts, stopped_at = streamed(Detokenizer(Letters(), ["abcd", "c"]), [b"xabcd"])
    assert texts == ["xab", ""]
    assert stopped_at == 4


def test_of_two_completed_at_once_the_longer_is_cut_out() -> None:
    texts, _ = streamed(Detokenizer(Letters(), ["c", "abc", "bc"]), [b"xabc"])
    assert texts == ["x", ""]


def test_a_stop_string_may_end_inside_a_token() -> None:
    texts, stopped_at = streamed(Detokenizer(Words("a", "b.\nc"), ["\n"]), [[0, 1]])
    assert texts == ["ab.", ""]
    assert stopped_at == 2


def test_a_stop_string_of_cut_characters_is_found() -> None:
    texts, stopped_at = streamed(Detokenizer(Letters(), ["é"]), [[byte] for byte in "aéb".encode()])
    assert "".join(texts) == "a"
    assert stopped_at == 3


def test_stop_strings_are_not_looked_for_in_the_first_min_tokens() -> None:
    texts, stopped_at = streamed(Detokenizer(Letters(), ["b"], min_tokens=2), [b"abab"])
    assert texts == ["aba", ""]
    assert stopped_at == 4


@given(
    text=st.text("ab", max_size=30),
    stops=st.lists(st.text("ab", min_size=1, max_size=5), max_size=3),
    places=st.lists(st.integers(0, 1000), max_size=5),
)
@settings(max_examples=500)
def test_stops_are_those_that_looking_through_the_whole_text_finds(
    text: str, stops: list[str], places: list[int]
) -> None:
    texts, stopped_at = streamed(Detokenizer(Letters(), stops), cut(text.encode(), places))
    ends = [end for end in range(1, len(text) + 1) if text[:end].endswith(tuple(stops))]
    if not ends:
        assert ("".join(texts), stopped_at) == (text, None)
    else:
        longest = max(len(stop) for stop in stops if text[: ends[0]].endswith(stop))
        assert ("".join(texts), stopped_at) == (text[: ends[0] - longest], ends[0])


@given(text=st.text("ab", max_size=20), stop=st.text("ab", min_size=1, max_size=4))
def test_no_more_is_held_than_could_begin_a_stop_string(text: str, stop: str) -> None:
    detokenizer = Detokenizer(Letters(), [stop])
    given_text = ""
    for end in range(1, len(text) + 1):
        piece = detokenizer.push(text[end - 1 : end].encode())
        given_text += piece.text
        if piece.stopped_at is not None:
            break
        held = text[len(given_text) : end]
        assert stop.startswith(held)
        assert not any(stop.startswith(text[start:end]) for start in range(len(given_text)))


def test_real_prose_streams_as_it_was_written(smollm2: Tokenizer) -> None:
    prose = Path(trained.__file__).read_text(encoding="utf-8")
    ids = smollm2.encode(prose, add_special=False)
    texts, _ = streamed(Detokenizer(smollm2, ["never there"]), [[id] for id in ids])
    assert "".join(texts) == prose
