"""Text from one continuation's tokens as they come: whole characters only, nothing of a stop string.

Owns the bytes of an unfinished character and the text that could begin a stop string. Each token costs what
its own text costs, however long the answer is. Who is told of a stop, and what it ends, is the caller's.
"""

from codecs import getincrementaldecoder
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

_utf8 = getincrementaldecoder("utf-8")


class Vocabulary(Protocol):
    """What is asked of a tokenizer here."""

    @property
    def special_ids(self) -> frozenset[int]: ...

    def token_bytes(self, id: int) -> bytes: ...


class Piece(NamedTuple):
    text: str  # safe to send: it will not be taken back
    stopped_at: int | None  # a stop string was completed by this many tokens; they count, later ones do not


class Detokenizer:
    """One for each continuation. What it gives, joined, is the text that its tokens add to a prompt.

    A stop string is cut out with all that follows. The first to be completed stops; of several completed by
    one character, the longest. Special tokens have no text. The text of the first `min_tokens` tokens is not
    searched for stop strings.
    """

    def __init__(
        self,
        tokenizer: Vocabulary,
        stop_strings: Sequence[str] = (),
        *,
        min_tokens: int = 0,
        skip_special: bool = True,
    ) -> None:
        self._tokenizer = tokenizer
        self._skipped = tokenizer.special_ids if skip_special else frozenset[int]()
        self._stops = [_Stop(stop) for stop in sorted(stop_strings, key=len, reverse=True)]
        self._min_tokens = min_tokens
        self._decoder = _utf8(errors="replace")
        self._held = ""  # the longest end of the text that begins some stop string
        self._tokens = 0
        self._stopped_at: int | None = None

    def push(self, token_ids: Iterable[int]) -> Piece:
        """The text that these tokens make certain. After a stop there is none."""
        texts: list[str] = []
        for id in token_ids:
            if self._stopped_at is not None:
                break
            self._tokens += 1
            if id not in self._skipped:
                texts.append(self._advance(self._decoder.decode(self._tokenizer.token_bytes(id))))
        return Piece("".join(texts), self._stopped_at)

    def flush(self) -> str:
        """What was held, at the end of the tokens; a character that was never finished becomes U+FFFD."""
        if self._stopped_at is not None:
            return ""
        rest = self._held + self._decoder.decode(b"", final=True)
        self._held = ""
        return rest

    def _advance(self, text: str) -> str:
        """Take new text in; give what can no longer be part of a stop string."""
        if not self._stops or self._tokens <= self._min_tokens:
            return text
        seen = self._held + text
        for end, character in enumerate(text, start=len(self._held) + 1):
            for stop in self._stops:
                if stop.advance(character):
                    self._stopped_at = self._tokens
                    self._held = ""
                    return seen[: end - stop.length]
        kept = len(seen) - max(stop.matched for stop in self._stops)
        self._held = seen[kept:]
        return seen[:kept]


class _Stop:
    """One stop string, and how much of its beginning the text so far ends with (Knuth, Morris and Pratt)."""

    def __init__(self, text: str) -> None:
        assert text, "an empty stop string is refused at the door"
        self._text = text
        self._shorter = _borders(text)
        self.length = len(text)
        self.matched = 0

    def advance(self, character: str) -> bool:
        """Whether this character completes it."""
        while self.matched and self._text[self.matched] != character:
            self.matched = self._shorter[self.matched - 1]
        self.matched += self._text[self.matched] == character
        return self.matched == self.length


def _borders(text: str) -> list[int]:
    """For each beginning of `text`, the length of its longest proper beginning that is also its end."""
    borders = [0]
    for character in text[1:]:
        length = borders[-1]
        while length and text[length] != character:
            length = borders[length - 1]
        borders.append(length + (text[length] == character))
    return borders
