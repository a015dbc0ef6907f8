"""One continuation while it is made: from its tokens to text, as far as the text is certain.

Owns what counts as output: the end's own token has no text, and after a stop string nothing counts.
Log-probabilities go out with their text. Knows no JSON, and leaves the cancel to its caller.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from headway.core.types import Finished, Logprob, Reason, Request, Token
from headway.text.detokenizer import Detokenizer
from headway.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Delta:
    """What came for one choice since the last look."""

    index: int
    text: str
    tokens: tuple[int, ...]
    logprobs: tuple[
        Logprob, ...
    ]  # of tokens whose text is out; NaN for a prompt's first, which follows nothing
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
        self._detokenizer = Detokenizer(tokenizer, sampling.stop_strings, min_tokens=sampling.min_tokens)
        self._text = ""  # since the last delta, as the two below
        self._tokens: list[int] = []
        self._logprobs: list[Logprob] = []
        self._counted = 0  # tokens so far
        self._told = 0  # of the log-probabilities, how many went out
        self._echoed: tuple[Logprob, ...] = ()

    @property
    def begun(self) -> bool:
        return self._counted > 0

    def echo(self, prompt: str, scored: Sequence[Logprob]) -> None:
        """Let the answer begin with its prompt."""
        self._text = prompt
        self._echoed = tuple(scored)

    def push(self, event: Token) -> bool:
        """True: a stop string has just been found."""
        if self.stopped_at is not None:
            return False  # made before the cancel arrived
        self._counted += 1
        self._tokens.append(event.token)
        if event.logprob is not None:
            self._logprobs.append(event.logprob)
        if event.token in self._stop_ids:
            return False  # the end's own text is no part of the answer
        piece = self._detokenizer.push((event.token,))
        self._text += piece.text
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
        """What is new, or None. Log-probabilities wait for their text."""
        if self.ended or not (self._tokens or self._text or self.finished):
            return None
        self.ended = self.finished is not None
        logprobs: list[Logprob] = []
        if self._text or self.ended:
            logprobs, self._logprobs = self._logprobs[: self.output_tokens - self._told], []
            self._told += len(logprobs)
        scored = (*self._echoed, *logprobs)
        delta = Delta(self.index, self._text, tuple(self._tokens), scored, self._reason())
        self._text, self._tokens, self._echoed = "", [], ()
        return delta

    def _reason(self) -> Reason | None:
        if self.finished is None:
            return None
        # The end by length may cross the cancel; the stop string came first all the same.
        return self.finished.reason if self.stopped_at is None else Reason.STOP
