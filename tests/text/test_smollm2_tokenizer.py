"""The embedded model's tokenizer, out of its GGUF file, against transformers' reading of that file.

They differ in one thing. The file says that its text is cut as `smollm`: digits one by one before all else,
as the model was trained. transformers knows no such kind and cuts as GPT-2, which shows where two blanks or
more stand before a digit ("\\n\\n1."), and in numerals outside ASCII. There the file is followed.
"""

import re
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import pre_tokenizers
from transformers import PreTrainedTokenizerFast

from headway.text.tokenizer import BadText, Tokenizer
from tests.text import trained

told_apart = re.compile(r"\s{2,}\d|[^\x00-\x7f]")
real = [
    "What is the capital of France?",
    "Write a function that reverses a linked list in Python, with type hints.",
    "Summarise: In 1969, Apollo 11 landed on the Moon. Armstrong said: 'one small step'.",
    "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
    "SELECT name, COUNT(*) FROM t WHERE x >= 3.14 GROUP BY 1;",
    "https://example.com/a?b=c&d=%20#frag",
    '{"a": [1, 2, {"b": null}], "c": "\\u00e9"}',
    'for (int i = 0; i < 10; ++i) { printf("%d\\n", i); }\n\treturn 0;',
    "Übergrößenträger — naïve café, façade; Ελληνικά, русский, עברית, العربية, हिन्दी",
    "日本語のテキストと中文。还有한국어。",
    "😀👩‍👩‍👧‍👦🇫🇷 🤷🏽‍♀️",
    *trained.texts,
]
any_text = st.text(st.sampled_from("ab 1\n\t é日😀.<|>_Ġ'sS\u0301\ufb01\xa0½٣\x00"), max_size=40) | st.text()

# The vocabulary has no token for some control characters, and for some bytes of the rarest planes.
spellable = st.characters(min_codepoint=0x20, max_codepoint=0x1FFFF, exclude_categories=["Cs"])


@pytest.fixture(scope="session")
def cut_as_trained(reference: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """transformers' reading, made to cut digits as the file asks."""
    words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    digits_first = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), words])
    reference.backend_tokenizer.pre_tokenizer = digits_first
    return reference


@pytest.mark.parametrize("text", [text for text in real if not told_apart.search(text)])
def test_ids_equal_those_of_transformers(
    smollm2: Tokenizer, reference: PreTrainedTokenizerFast, text: str
) -> None:
    assert smollm2.encode(text, add_special=True) == reference.encode(text)


@given(text=any_text)
@example(text="1. one\n\n2. two\n  3 ½ ٣")
@settings(max_examples=500, deadline=None)
def test_ids_equal_those_of_transformers_once_it_cuts_digits_as_the_file_says(
    smollm2: Tokenizer, cut_as_trained: PreTrainedTokenizerFast, text: str
) -> None:
    assert smollm2.encode(text, add_special=True) == cut_as_trained.encode(text)


def test_blank_lines_before_a_digit_stay_one_token(smollm2: Tokenizer) -> None:
    assert [smollm2.token_text(id) for id in smollm2.encode("a\n\n1.", add_special=False)] == [
        "a", "\n\n", "1", ".",
    ]  # fmt: skip


@given(text=st.text(spellable))
@settings(max_examples=500, deadline=None)
def test_decoding_gives_the_text_back(smollm2: Tokenizer, text: str) -> None:
    assert smollm2.decode(smollm2.encode(text, add_special=True), skip_special=False) == text


@given(ids=st.lists(st.integers(0, 49_151), max_size=12), skip_special=st.booleans())
@settings(max_examples=500, deadline=None)
def test_any_ids_decode_as_transformers_decodes_them(
    smollm2: Tokenizer, reference: PreTrainedTokenizerFast, ids: list[int], skip_special: bool
) -> None:
    assert smollm2.decode(ids, skip_special) == reference.decode(ids, skip_special_tokens=skip_special)


def test_special_tokens_spelt_out_in_text_become_those_tokens(smollm2: Tokenizer) -> None:
    assert smollm2.encode("<|im_end|>", add_special=False) == list(smollm2.eos_ids)


def test_the_model_adds_nothing_around_a_prompt(smollm2: Tokenizer) -> None:
    assert smollm2.encode("hi", add_special=True) == smollm2.encode("hi", add_special=False)


def test_the_chat_template_and_the_names_of_tokens_come_out_of_the_file(
    smollm2: Tokenizer, reference: PreTrainedTokenizerFast
) -> None:
    assert smollm2.chat_template == reference.chat_template
    assert smollm2.named_tokens == reference.special_tokens_map
    assert smollm2.bos_id == reference.bos_token_id
    assert smollm2.vocab_size == len(reference)


def test_half_a_surrogate_pair_is_refused(smollm2: Tokenizer) -> None:
    with pytest.raises(BadText):
        smollm2.encode("a\ud800b", add_special=True)


@given(piece=st.text(spellable, min_size=1, max_size=5))
@example(piece="#")
@example(piece=" ")
@settings(deadline=None)
def test_no_text_has_fewer_tokens_than_the_bound_says(smollm2: Tokenizer, piece: str) -> None:
    text = piece * 2000
    assert smollm2.fewest_tokens(text) <= len(smollm2.encode(text, add_special=False))


def test_the_bound_grows_with_the_text(smollm2: Tokenizer) -> None:
    assert smollm2.fewest_tokens("word" * 10**6) > 10_000


def test_an_id_out_of_the_vocabulary_has_no_bytes(smollm2: Tokenizer) -> None:
    assert smollm2.token_bytes(10**6) == b""


def test_a_cut_character_shows_as_a_replacement_in_text_and_truly_in_bytes(smollm2: Tokenizer) -> None:
    ids = smollm2.encode("😀", add_special=False)
    assert len(ids) > 1
    assert "\ufffd" in smollm2.token_text(ids[0])
    assert b"".join(map(smollm2.token_bytes, ids)) == "😀".encode()


def test_the_file_is_enough(smollm2_file: Path) -> None:
    assert [entry.name for entry in smollm2_file.parent.glob("*.json")] == []
