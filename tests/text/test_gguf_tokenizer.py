"""A tokenizer means the same whether it is read from a model folder or from a GGUF file's metadata."""

from pathlib import Path

import pytest
from gguf import GGUFWriter
from transformers import AutoTokenizer

from headway.spec import BadModel
from headway.text.tokenizer import load_tokenizer
from tests.text import trained

kinds = ["gpt-2", "smollm", "falcon", "llama-bpe", "qwen2"]


@pytest.mark.parametrize("kind", kinds)
def test_each_kind_of_byte_level_vocabulary_splits_text_as_its_own_tokenizer_does(
    kind: str, tmp_path: Path
) -> None:
    tokenizer = trained.byte_level(kind)
    ours = load_tokenizer(trained.write_gguf(tokenizer, tmp_path / "a.gguf", pre=kind))
    for text in trained.texts:
        assert ours.encode(text, add_special=False) == tokenizer.encode(text).ids, text


def test_the_kinds_are_told_apart_by_some_text(tmp_path: Path) -> None:
    """Else the test above could pass with one kind for all."""
    text = "\n\n1. 12345 we'LL $+ e\u0301"
    pieces = {str(trained.byte_level(kind).encode(text).tokens) for kind in kinds}
    assert len(pieces) == len(kinds)


def test_a_sentencepiece_vocabulary_merges_by_score(tmp_path: Path) -> None:
    tokenizer = trained.sentencepiece()
    ours = load_tokenizer(trained.write_gguf(tokenizer, tmp_path / "a.gguf", pre=None))
    for text in trained.texts:
        assert ours.encode(text, add_special=False) == tokenizer.encode(text).ids, text


@pytest.mark.parametrize("kind", ["gpt-2", "llama-bpe", "tekken"])
def test_transformers_reads_the_same_from_the_same_file(kind: str, tmp_path: Path) -> None:
    file = trained.write_gguf(trained.byte_level("gpt-2"), tmp_path / "a.gguf", pre=kind)
    ours, theirs = load_tokenizer(file), AutoTokenizer.from_pretrained(tmp_path, gguf_file="a.gguf")
    for text in trained.texts:
        assert ours.encode(text, add_special=False) == theirs.encode(text, add_special_tokens=False), text


def test_beginning_of_text_is_added_where_the_kind_of_vocabulary_has_it(tmp_path: Path) -> None:
    llama3 = trained.write_gguf(trained.byte_level("llama-bpe"), tmp_path / "llama3.gguf", pre="llama-bpe")
    llama2 = trained.write_gguf(trained.sentencepiece(), tmp_path / "llama2.gguf", pre=None)
    gpt2 = trained.write_gguf(trained.byte_level("gpt-2"), tmp_path / "gpt2.gguf", pre="gpt-2")
    starts = [load_tokenizer(file).encode("hi", add_special=True)[0] for file in (llama3, llama2, gpt2)]
    assert [start == trained.special.index("<s>") for start in starts] == [True, True, False]


def test_all_tokens_that_end_an_answer_are_known(tmp_path: Path) -> None:
    ours = load_tokenizer(trained.write_gguf(trained.byte_level("gpt-2"), tmp_path / "a.gguf", pre="gpt-2"))
    assert [ours.token_text(id) for id in ours.eos_ids] == ["</s>", "<|eot|>"]
    assert ours.named_tokens == {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


def test_an_unknown_pre_tokenizer_is_refused_by_name(tmp_path: Path) -> None:
    file = trained.write_gguf(trained.byte_level("gpt-2"), tmp_path / "a.gguf", pre="klingon")
    with pytest.raises(BadModel, match="'klingon' is not supported"):
        load_tokenizer(file)


def test_an_unknown_tokenizer_model_is_refused_by_name(tmp_path: Path) -> None:
    file = trained.write_gguf(trained.byte_level("gpt-2"), tmp_path / "a.gguf", pre="gpt-2", model="rwkv")
    with pytest.raises(BadModel, match="'rwkv' is not supported"):
        load_tokenizer(file)


@pytest.mark.parametrize(
    ("tokens", "types", "reason"),
    [
        (["a", "a"], [1, 1], "twice"),
        (["a", "b"], [1], "2 tokens with 1 types"),
        ([], [], "0 tokens"),
        (["a" * 2000], [1], "a token of 2,000 characters"),
    ],
)
def test_a_vocabulary_that_does_not_hold_together_is_refused(
    tokens: list[str], types: list[int], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(BadModel, match=reason):
        load_tokenizer(vocabulary(tmp_path / "a.gguf", tokens, types, merges=[]))


def test_a_merge_of_what_is_no_token_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="no tokenizer can be built"):
        load_tokenizer(vocabulary(tmp_path / "a.gguf", ["a", "b"], [1, 1], merges=["a c"]))


def test_llama3_takes_a_word_of_its_vocabulary_whole_though_no_merges_lead_to_it(tmp_path: Path) -> None:
    tokens, types = ["a", "b", "ab", "abab"], [1, 1, 1, 1]
    llama3 = vocabulary(tmp_path / "llama3.gguf", tokens, types, merges=["a b"], pre="llama-bpe")
    gpt2 = vocabulary(tmp_path / "gpt2.gguf", tokens, types, merges=["a b"], pre="gpt-2")
    assert load_tokenizer(llama3).encode("abab", add_special=False) == [3]
    assert load_tokenizer(gpt2).encode("abab", add_special=False) == [2, 2]


def vocabulary(
    path: Path, tokens: list[str], types: list[int], merges: list[str], pre: str = "gpt-2"
) -> Path:
    writer = GGUFWriter(path, "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    if tokens:
        writer.add_token_list(tokens)
        writer.add_token_types(types)
    if merges:
        writer.add_token_merges(merges)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path
