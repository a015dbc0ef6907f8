"""What is read from a model folder, and which file has the last word."""

import json
import threading
from pathlib import Path

import pytest
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models
from transformers import AutoTokenizer

from headway.text.parts import BadTokenizer
from headway.text.tokenizer import Tokenizer, load_tokenizer
from tests.text import trained


@pytest.fixture(scope="module")
def byte_level() -> Backend:
    return trained.byte_level("llama-bpe")


def texts_of(tokenizer: Tokenizer, ids: tuple[int, ...]) -> list[str]:
    return [tokenizer.token_text(id) for id in ids]


def test_ids_equal_those_of_transformers(byte_level: Backend, tmp_path: Path) -> None:
    folder = trained.write_folder(byte_level, tmp_path, tokenizer_class="PreTrainedTokenizerFast")
    ours, theirs = load_tokenizer(folder), AutoTokenizer.from_pretrained(folder)
    for text in trained.texts:
        assert ours.encode(text, add_special=True) == theirs.encode(text), text


@pytest.mark.parametrize("make", [lambda: trained.byte_level("qwen2"), trained.sentencepiece])
def test_decoding_equals_the_tokenizers_library(make: "type[Backend]", tmp_path: Path) -> None:
    backend = make()
    ours = load_tokenizer(trained.write_folder(backend, tmp_path))
    for text in trained.texts:
        ids = backend.encode(text).ids
        assert ours.decode(ids) == backend.decode(ids), text
        whole = backend.decode(ids, skip_special_tokens=False)
        assert ours.decode(ids, skip_special=False) == whole, text


def test_bytes_that_are_no_character_leave_their_neighbours_readable(tmp_path: Path) -> None:
    """The tokenizers library gives up a whole run of byte tokens when one is wrong; we keep what is right."""
    backend = trained.sentencepiece()
    ours = load_tokenizer(trained.write_folder(backend, tmp_path))
    ids = [backend.token_to_id(f"<0x{byte:02X}>") for byte in ("Ж".encode() + b"\xff")]
    assert ours.decode(ids) == "Ж\ufffd"
    assert backend.decode(ids) == "\ufffd\ufffd\ufffd"


def test_the_configuration_may_ask_for_tokens_around_a_prompt(byte_level: Backend, tmp_path: Path) -> None:
    folder = trained.write_folder(byte_level, tmp_path, add_bos_token=True, add_eos_token=True)
    ours = load_tokenizer(folder)
    ids = ours.encode("hi", add_special=True)
    assert texts_of(ours, (ids[0], ids[-1])) == ["<s>", "</s>"]
    assert ours.encode("hi", add_special=False) == ids[1:-1]


def test_truncation_and_padding_that_a_file_asks_for_are_not_done(
    byte_level: Backend, tmp_path: Path
) -> None:
    copy = Backend.from_str(byte_level.to_str())
    copy.enable_truncation(3)
    copy.enable_padding(length=8)
    ours = load_tokenizer(trained.write_folder(copy, tmp_path))
    assert ours.encode("hi", add_special=False) == byte_level.encode("hi").ids
    long = "a long text of many words"
    assert ours.encode(long, add_special=False) == byte_level.encode(long).ids


def test_every_end_of_text_that_generation_config_lists_counts(byte_level: Backend, tmp_path: Path) -> None:
    folder = trained.write_folder(byte_level, tmp_path)
    other = byte_level.token_to_id("<|eot|>")
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [other]}))
    (folder / "config.json").write_text(json.dumps({"eos_token_id": 0}))
    ours = load_tokenizer(folder)
    assert texts_of(ours, ours.eos_ids) == ["</s>", "<|eot|>"]


def test_without_generation_config_the_model_config_tells_the_end(
    byte_level: Backend, tmp_path: Path
) -> None:
    folder = trained.write_folder(byte_level, tmp_path, eos_token=None)
    (folder / "config.json").write_text(json.dumps({"eos_token_id": byte_level.token_to_id("<|eot|>")}))
    ours = load_tokenizer(folder)
    assert texts_of(ours, ours.eos_ids) == ["<|eot|>"]


def test_tokens_by_role_may_be_objects_and_may_come_from_either_file(
    byte_level: Backend, tmp_path: Path
) -> None:
    folder = trained.write_folder(byte_level, tmp_path, bos_token=None, eos_token={"content": "</s>"})
    (folder / "special_tokens_map.json").write_text(json.dumps({"bos_token": "<s>", "eos_token": "other"}))
    ours = load_tokenizer(folder)
    assert ours.named_tokens == {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    assert ours.bos_id == byte_level.token_to_id("<s>")


def test_the_chat_template_file_beats_the_configuration(byte_level: Backend, tmp_path: Path) -> None:
    folder = trained.write_folder(byte_level, tmp_path, chat_template="in the configuration")
    assert load_tokenizer(folder).chat_template == "in the configuration"
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": "in the json"}))
    assert load_tokenizer(folder).chat_template == "in the json"
    (folder / "chat_template.jinja").write_text("in the file")
    assert load_tokenizer(folder).chat_template == "in the file"


def test_of_several_chat_templates_the_default_is_taken(byte_level: Backend, tmp_path: Path) -> None:
    several = [{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "plain"}]
    folder = trained.write_folder(byte_level, tmp_path, chat_template=several)
    assert load_tokenizer(folder).chat_template == "plain"


def test_a_model_without_a_chat_template_has_none(byte_level: Backend, tmp_path: Path) -> None:
    assert load_tokenizer(trained.write_folder(byte_level, tmp_path)).chat_template is None


def test_a_folder_without_tokenizer_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadTokenizer, match=r"tokenizer\.json: it is missing"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"model": 1e999}', "\ufeff{"])
def test_a_broken_tokenizer_json_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(BadTokenizer, match=r"tokenizer\.json"):
        load_tokenizer(tmp_path)


def test_a_broken_configuration_is_refused_by_its_name(byte_level: Backend, tmp_path: Path) -> None:
    folder = trained.write_folder(byte_level, tmp_path)
    (folder / "generation_config.json").write_text("{")
    with pytest.raises(BadTokenizer, match=r"generation_config\.json: not JSON"):
        load_tokenizer(folder)


def test_a_decoder_that_spells_text_another_way_is_refused_by_its_name(tmp_path: Path) -> None:
    backend = Backend(models.BPE())
    backend.decoder = decoders.WordPiece()
    with pytest.raises(BadTokenizer, match=r"'WordPiece'.* is not supported"):
        load_tokenizer(trained.write_folder(backend, tmp_path))


def test_other_threads_run_while_a_long_text_is_encoded(smollm2: Tokenizer) -> None:
    encoding = threading.Thread(target=smollm2.encode, args=("some words " * 100_000, True))
    encoding.start()
    turns = 0
    while encoding.is_alive():
        turns += 1
    assert turns > 1000
