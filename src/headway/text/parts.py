"""What a model's files say about its text, whatever their format: the seam between readers and Tokenizer."""

from dataclasses import dataclass, field
from typing import Literal

import tokenizers

from headway.spec.model import BadModel


class BadTokenizer(BadModel):
    """A model's tokenizer that we refuse: in which file, and why."""


@dataclass(frozen=True, slots=True)
class Spelling:
    """How tokens spell bytes: in GPT-2's byte alphabet, or as SentencePiece text with `<0xAB>` for bytes."""

    kind: Literal["byte-level", "sentencepiece"]
    strips_first_space: bool = False  # a whole text's leading space was put there by the encoder


@dataclass(frozen=True, slots=True)
class TokenizerParts:
    backend: tokenizers.Tokenizer
    spelling: Spelling
    bos_id: int | None
    eos_ids: tuple[int, ...]  # every token that ends an answer, the tokenizer's own end-of-text first
    chat_template: str | None
    named_tokens: dict[str, str] = field(default_factory=dict)  # "bos_token" and so on, for templates
