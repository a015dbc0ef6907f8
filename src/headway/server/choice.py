"""One continuation while it is made: from its tokens to text, as far as the text is certain.

Owns what counts as output: the end's own token has no text, and after a stop string nothing counts.
Log-probabilities go out with their text. Knows no JSON, and leaves the cancel to its caller.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from headway.core.types import Finished, Logprob, Reason, Request, Token
from headway.text.detokenizer import Detokenizer
from headway.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Delta:
    """What came for one choice since the last look."""

    index: int
    text: str
    tokens: tuple[int, ...]
    # Of tokens whose text is out; NaN for a prompt's first, which follows nothing.
    logprobs: tuple[Logprob, ...]
    starts: tuple[int, ...]  # for each of those, how many characters of the answer stand before its own
    reason: Reason | None  # set once, on the last


class Choice:
    """One continuation: its text so far lies with whoever took the deltas."""

    def __init__(self, request: Request, number: int, index: int, tokenizer: Tokenizer) -> None:
        self.number = number  # within its request
        self.index = index  # within the body
        self.stopped_at: int | None = None  # a stop string was found: so many tokens count
        self.finished: Finished | None = None
        self.ended = False  # its last delta went out
        sampling = request.sampling
        self._stop_ids = sampling.stop_ids
        self._tokenizer = tokenizer
        self._characters = 0  # of the answer's text so far
        self._spelling = Detokenizer(tokenizer)  # holds nothing back: says where scored tokens begin
        self._spelt = 0  # characters of its text and of the echo
        self._detokenizer = Detokenizer(tokenizer, sampling.stop_strings, min_tokens=sampling.min_tokens)
        self._text = ""  # since the last delta, as the two below
        self._tokens: list[int] = []
        self._scored: list[tuple[Logprob, int]] = []  # with its start; those that did not go out
        self._counted = 0  # tokens so far
        self._echoed: list[tuple[Logprob, int]] = []

    @property
    def begun(self) -> bool:
        return self._counted > 0

    def echo(self, prompt: str, scored: Sequence[Logprob]) -> None:
        """Let the answer begin with its prompt."""
        self._text = prompt
        self._characters = self._spelt = len(prompt)
        starts = _prompt_starts(self._tokenizer, [one.token for one in scored], prompt)
        self._echoed = list(zip(scored, starts, strict=True))

    def push(self, event: Token) -> bool:
        """True: a stop string has just been found."""
        if self.stopped_at is not None:
            return False  # made before the cancel arrived
        self._counted += 1
        self._tokens.append(event.token)
        if event.logprob is not None:
            self._scored.append((event.logprob, self._spelt))
        if event.token in self._stop_ids:
            return False  # the end's own text is no part of the answer
        if event.logprob is not None:
            self._spelt += len(self._spelling.push((event.token,)).text)
        piece = self._detokenizer.push((event.token,))
        self._text += piece.text
        self._characters += len(piece.text)
        self.stopped_at = piece.stopped_at
        return self.stopped_at is not None

    def finish(self, event: Finished) -> None:
        self.finished = event
        if self.stopped_at is None:
            self._text += self._detokenizer.flush()

    @property
    def output_tokens(self) -> int:
        return self._counted if self.stopped_at is None else self.stopped_at

    def take(self) -> Delta | None:
        """What is new, or None. A log-probability waits for the first of its token's text."""
        if self.ended or not (self._tokens or self._text or self.finished):
            return None
        self.ended = self.finished is not None
        scored, self._echoed = self._echoed, []
        certain = bisect_left(self._scored, self._characters, key=lambda one: one[1])
        if self.ended and self.stopped_at is None:
            certain = len(self._scored)  # those without text too
        scored += self._scored[:certain]
        del self._scored[:certain]
        logprobs, starts = tuple(one for one, _ in scored), tuple(start for _, start in scored)
        delta = Delta(self.index, self._text, tuple(self._tokens), logprobs, starts, self._reason())
        self._text, self._tokens = "", []
        return delta

    def _reason(self) -> Reason | None:
        if self.finished is None:
            return None
        # The end by length may cross the cancel; the stop string came first all the same.
        return self.finished.reason if self.stopped_at is None else Reason.STOP


def _prompt_starts(tokenizer: Tokenizer, tokens: Sequence[int], text: str) -> list[int]:
    """Where in its text each of a prompt's tokens begins; what was put around the text takes no room."""
    spelling = Detokenizer(tokenizer, skip_special=False)
    pieces = [spelling.push((token,)).text for token in tokens]
    starts = accumulate(map(len, pieces), initial=-max(0, "".join(pieces).rfind(text)))
    return [min(max(0, start), len(text)) for start in starts][: len(tokens)]
