"""Text to token ids and back, from a model's own files.

Knows no template, no stream and no request. Nothing in a Tokenizer changes after it is built: threads may
share it.
"""

from collections.abc import Iterable
from pathlib import Path

from headway.text.folder_tokenizer import read_folder_tokenizer
from headway.text.gguf_tokenizer import read_gguf_tokenizer
from headway.text.parts import BadTokenizer as BadTokenizer
from headway.text.parts import TokenizerParts
from headway.text.spelling import byte_level_bytes, sentencepiece_bytes


class BadText(ValueError):
    """Text that has no UTF-8 form: it holds half of a surrogate pair."""


class Tokenizer:
    def __init__(self, parts: TokenizerParts) -> None:
        self._backend = parts.backend
        self._strips_first_space = parts.spelling.strips_first_space
        self._bytes_of = byte_level_bytes if parts.spelling.kind == "byte-level" else sentencepiece_bytes
        added = parts.backend.get_added_tokens_decoder()
        self.special_ids = frozenset(id for id, token in added.items() if token.special)
        self.bos_id = parts.bos_id
        self.eos_ids = parts.eos_ids
        self.chat_template = parts.chat_template
        self.named_tokens = parts.named_tokens
        # NFC, which byte-level families use, makes one character of at most four; the others only mark spaces
        shrinks = parts.spelling.kind == "byte-level" and parts.backend.normalizer is not None
        self._longest_token = max(map(len, parts.backend.get_vocab())) * (4 if shrinks else 1)
        self.vocab_size = max(parts.backend.get_vocab_size(), 1 + max(added, default=0))

    def encode(self, text: str, add_special: bool) -> list[int]:
        """Token ids of `text`.

        `add_special` puts the model's own tokens around it (beginning-of-text, mostly): wanted for a raw
        prompt, not for what a chat template rendered, which has written them itself. Special tokens spelt out
        in `text` become those tokens either way. Raises BadText.
        """
        try:
            # A batch of one: unlike `encode`, it lets other threads run meanwhile, and computes no offsets.
            (encoding,) = self._backend.encode_batch_fast([text], add_special_tokens=add_special)
            return encoding.ids
        except TypeError as error:  # what the library makes of a str that it cannot encode
            raise BadText("the text holds half of a surrogate pair") from error

    def fewest_tokens(self, text: str) -> int:
        """A lower bound on the tokens of `text`, at once: what is far too long need not be encoded.

        Characters that the vocabulary cannot spell (in some, control characters) count as if it could.
        """
        return len(text) // self._longest_token

    def decode(self, ids: Iterable[int], skip_special: bool = True) -> str:
        """The text of a whole sequence; bytes that are no UTF-8 become U+FFFD."""
        spelt = b"".join(self.token_bytes(id) for id in ids if not (skip_special and id in self.special_ids))
        text = spelt.decode(errors="replace")
        return text.removeprefix(" ") if self._strips_first_space else text

    def token_bytes(self, id: int) -> bytes:
        """The bytes that a token adds to a text; none for an id that the vocabulary does not use."""
        token = self._backend.id_to_token(id)
        return b"" if token is None else self._bytes_of(token)

    def token_text(self, id: int) -> str:
        """A token alone, as log-probabilities show it; a cut character is U+FFFD (`token_bytes` is exact)."""
        return self.token_bytes(id).decode(errors="replace")


def load_tokenizer(path: Path) -> Tokenizer:
    """From a model folder (tokenizer.json) or a .gguf file. Raises BadModel."""
    return Tokenizer(read_folder_tokenizer(path) if path.is_dir() else read_gguf_tokenizer(path))
