"""The second real model's tokenizer: a SentencePiece vocabulary of 262,144, against transformers' reading."""

import pytest
from transformers import AutoTokenizer

from headway.hub import resolve
from headway.text.tokenizer import load_tokenizer
from tests.text import trained


@pytest.mark.slow
def test_ids_and_texts_equal_those_of_transformers() -> None:
    file = resolve("gemma3-270m")
    ours, theirs = load_tokenizer(file), AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    for text in [*trained.texts, "<bos><start_of_turn>user\nhi<end_of_turn>", "▁ ▁▁", "        indented"]:
        ids = ours.encode(text, add_special=True)
        assert ids == theirs.encode(text), text
        assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=True), text
