"""A tokenizer read from a model folder: tokenizer.json, and the small files that say how it is used."""

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, processors

from headway.text.parts import BadTokenizer, Spelling, TokenizerParts

named = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


def read_folder_tokenizer(folder: Path) -> TokenizerParts:
    """Raises BadTokenizer."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise BadTokenizer(path, "it is missing, and no other kind of tokenizer file is read from a folder")
    text = path.read_text(encoding="utf-8")
    try:
        backend = Tokenizer.from_str(text)
    except Exception as error:  # the library raises bare Exceptions
        raise BadTokenizer(path, f"the tokenizers library cannot read it ({error})") from error
    backend.no_truncation()
    backend.no_padding()
    config = _json(folder / "tokenizer_config.json")
    special = {**_named_tokens(_json(folder / "special_tokens_map.json")), **_named_tokens(config)}
    _set_ends(backend, config, special)
    return TokenizerParts(
        backend=backend,
        spelling=_spelling(path, json.loads(text).get("decoder")),
        bos_id=_id_of(backend, special.get("bos_token")),
        eos_ids=_eos_ids(folder, _id_of(backend, special.get("eos_token"))),
        chat_template=_chat_template(folder, config),
        named_tokens=special,
    )


def _json(path: Path) -> dict[str, Any]:
    """A JSON object, empty where there is no such file."""
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_bytes())
    except ValueError as error:
        raise BadTokenizer(path, f"not JSON ({error})") from error
    if not isinstance(found, dict):
        raise BadTokenizer(path, "not a JSON object")
    return found


def _named_tokens(config: dict[str, Any]) -> dict[str, str]:
    """Tokens by role; a token is its text, or an object whose `content` is its text."""
    found = {name: config.get(name) for name in named}
    texts = {
        name: token.get("content") if isinstance(token, dict) else token for name, token in found.items()
    }
    return {name: text for name, text in texts.items() if isinstance(text, str)}


def _set_ends(backend: Tokenizer, config: dict[str, Any], special: dict[str, str]) -> None:
    """Where the configuration says which ends are added it overrules tokenizer.json, as in transformers."""
    stated = "add_bos_token" in config or "add_eos_token" in config
    if not stated and backend.post_processor is not None:
        return
    before = special.get("bos_token") if config.get("add_bos_token") else None
    after = special.get("eos_token") if config.get("add_eos_token") else None
    ends = [(token, backend.token_to_id(token)) for token in (before, after) if token]
    backend.post_processor = processors.TemplateProcessing(
        single=[token for token in (before, "$A", after) if token],
        special_tokens=[(token, id) for token, id in ends if id is not None],
    )


def _spelling(path: Path, decoder: Any) -> Spelling:
    """What the decoder's steps say of how tokens spell text."""
    steps = decoder.get("decoders", [decoder]) if isinstance(decoder, dict) else []
    kinds = [step.get("type") for step in steps]
    if kinds == ["ByteLevel"]:
        return Spelling("byte-level")
    if "Metaspace" in kinds and set(kinds) <= {"Metaspace", "ByteFallback", "Fuse"}:
        (metaspace,) = (step for step in steps if step["type"] == "Metaspace")
        return Spelling("sentencepiece", strips_first_space=metaspace.get("prepend_scheme") != "never")
    if kinds[:1] == ["Replace"] and set(kinds) <= {"Replace", "ByteFallback", "Fuse", "Strip"}:
        return Spelling("sentencepiece", strips_first_space="Strip" in kinds)
    raise BadTokenizer(
        path, f"decoder {kinds or decoder!r} is not supported (byte-level and SentencePiece are)"
    )


def _id_of(backend: Tokenizer, token: str | None) -> int | None:
    return None if token is None else backend.token_to_id(token)


def _eos_ids(folder: Path, own: int | None) -> tuple[int, ...]:
    """The tokenizer's own, then all that generation_config.json (else config.json) lists."""
    stated = _json(folder / "generation_config.json") or _json(folder / "config.json")
    listed = stated.get("eos_token_id")
    ids = [own, *(listed if isinstance(listed, list) else [listed])]
    return tuple(dict.fromkeys(id for id in ids if isinstance(id, int)))


def _chat_template(folder: Path, config: dict[str, Any]) -> str | None:
    """chat_template.jinja, else chat_template.json, else tokenizer_config.json; of several the `default`."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    found = _json(folder / "chat_template.json").get("chat_template", config.get("chat_template"))
    if isinstance(found, list):
        templates = {entry.get("name"): entry.get("template") for entry in found if isinstance(entry, dict)}
        found = templates.get("default")
    return found if isinstance(found, str) else None
