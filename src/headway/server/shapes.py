"""The JSON of answers and chunks, as OpenAI's clients read it, with `timings` beside.

Two shapes with one face: chat and plain completions. Pure: what is put in comes out, nothing is waited for.
"""

from collections.abc import Sequence
from math import isnan
from typing import Any, Protocol

from headway.core.types import Logprob, Reason, Shares
from headway.server.choice import Delta
from headway.server.generation import Usage
from headway.text.tokenizer import Tokenizer

Json = dict[str, Any]

lowest_logprob = -9999.0  # JSON has no infinity
finish_reasons = {Reason.STOP: "stop", Reason.LENGTH: "length"}


class Shape(Protocol):
    id: str  # the answer's, in every chunk

    def answer(self, choices: Sequence[Delta], usage: Usage, timings: Shares) -> Json:
        """The whole answer; each choice's deltas have been joined."""
        ...

    def opening(self, index: int) -> Json | None:
        """What a choice's stream begins with."""
        ...

    def piece(self, delta: Delta) -> Json: ...

    def ending(self, index: int, reason: Reason) -> Json: ...

    def closing(self) -> Json:
        """No choice: the chunk that carries usage."""
        ...


def usage_json(usage: Usage) -> Json:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def timings_json(timings: Shares) -> Json:
    """Milliseconds; the shares add up to the total."""
    shares = {f"{name}_ms": ns / 1e6 for name, ns in timings._asdict().items()}
    return {**shares, "total_ms": sum(timings) / 1e6}


class ChatShape:
    def __init__(
        self, id: str, created: int, model: str, tokenizer: Tokenizer, *, logprobs: bool, tier: str
    ) -> None:
        self.id = f"chatcmpl-{id}"
        self._head: Json = {
            "id": self.id,
            "created": created,
            "model": model,
            "service_tier": tier,
        }
        self._tokenizer = tokenizer
        self._with_logprobs = logprobs

    def answer(self, choices: Sequence[Delta], usage: Usage, timings: Shares) -> Json:
        return {
            **self._head,
            "object": "chat.completion",
            "choices": [
                {
                    "index": choice.index,
                    "message": {"role": "assistant", "content": choice.text, "refusal": None},
                    "logprobs": self._logprobs(choice),
                    "finish_reason": _finish_reason(choice),
                }
                for choice in choices
            ],
            "usage": usage_json(usage),
            "timings": timings_json(timings),
        }

    def opening(self, index: int) -> Json | None:
        return self._chunk(index, {"role": "assistant", "content": "", "refusal": None})

    def piece(self, delta: Delta) -> Json:
        return self._chunk(delta.index, {"content": delta.text}, logprobs=self._logprobs(delta))

    def ending(self, index: int, reason: Reason) -> Json:
        return self._chunk(index, {}, finish_reason=finish_reasons[reason])

    def closing(self) -> Json:
        return {**self._head, "object": "chat.completion.chunk", "choices": []}

    def _chunk(
        self, index: int, delta: Json, logprobs: Json | None = None, finish_reason: str | None = None
    ) -> Json:
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
        return {**self.closing(), "choices": [choice]}

    def _logprobs(self, delta: Delta) -> Json | None:
        if not self._with_logprobs:
            return None
        return {"content": [self._scored(scored) for scored in delta.logprobs], "refusal": None}

    def _scored(self, scored: Logprob) -> Json:
        top = [self._token(token, logprob) for token, logprob in scored.top]
        return {**self._token(scored.token, scored.logprob), "top_logprobs": top}

    def _token(self, token: int, logprob: float) -> Json:
        spelt = self._tokenizer.token_bytes(token)
        return {
            "token": self._tokenizer.token_text(token),
            "logprob": max(logprob, lowest_logprob),
            "bytes": list(spelt),
        }


class CompletionShape:
    def __init__(self, id: str, created: int, model: str, tokenizer: Tokenizer, *, logprobs: bool) -> None:
        self.id = f"cmpl-{id}"
        self._head: Json = {
            "id": self.id,
            "created": created,
            "model": model,
            "object": "text_completion",
        }
        self._tokenizer = tokenizer
        self._with_logprobs = logprobs

    def answer(self, choices: Sequence[Delta], usage: Usage, timings: Shares) -> Json:
        return {
            **self._head,
            "choices": [self._choice(c.index, c.text, self._logprobs(c), _finish_reason(c)) for c in choices],
            "usage": usage_json(usage),
            "timings": timings_json(timings),
        }

    def opening(self, index: int) -> Json | None:
        return None

    def piece(self, delta: Delta) -> Json:
        return {**self._head, "choices": [self._choice(delta.index, delta.text, self._logprobs(delta), None)]}

    def ending(self, index: int, reason: Reason) -> Json:
        return {**self._head, "choices": [self._choice(index, "", None, finish_reasons[reason])]}

    def closing(self) -> Json:
        return {**self._head, "choices": []}

    def _choice(self, index: int, text: str, logprobs: Json | None, finish_reason: str | None) -> Json:
        return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish_reason}

    def _logprobs(self, delta: Delta) -> Json | None:
        if not self._with_logprobs:
            return None
        return {
            "tokens": [self._tokenizer.token_text(scored.token) for scored in delta.logprobs],
            "token_logprobs": [
                None if isnan(scored.logprob) else max(scored.logprob, lowest_logprob)
                for scored in delta.logprobs
            ],
            "top_logprobs": [self._top(scored) for scored in delta.logprobs],
            "text_offset": list(delta.starts),
        }

    def _top(self, scored: Logprob) -> Json | None:
        """The chosen token and the likeliest. Of two with one text (cut characters) the likelier stands."""
        if isnan(scored.logprob):
            return None
        top: Json = {}
        for token, logprob in (*scored.top, (scored.token, scored.logprob)):
            top.setdefault(self._tokenizer.token_text(token), max(logprob, lowest_logprob))
        return top


def _finish_reason(delta: Delta) -> str:
    assert delta.reason is not None, "an answer is made of choices that have ended"
    return finish_reasons[delta.reason]
