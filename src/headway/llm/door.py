"""What a library call may ask: prompts become token ids, samplings are checked and completed, or BadRequest.

The engine behind it never checks ranges. Whether a request fits is the engine's verdict, not this one's.
"""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from math import isfinite
from random import SystemRandom
from typing import Any, TypeGuard, cast

from headway.core.types import Sampling
from headway.server.fields import largest_seed, most_logprobs, most_tokens, repetition_range
from headway.text.tokenizer import BadText, Tokenizer

# field -> lowest and highest value; of whole numbers where both are whole. The same as over HTTP.
bounds: dict[str, tuple[float, float]] = {
    "max_tokens": (1, most_tokens),
    "min_tokens": (0, most_tokens),
    "top_k": (0, most_tokens),
    "temperature": (0.0, 2.0),
    "top_p": (1e-9, 1.0),
    "min_p": (0.0, 1.0),
    "frequency_penalty": (-2.0, 2.0),
    "presence_penalty": (-2.0, 2.0),
    "repetition_penalty": repetition_range,
    "seed": (0, largest_seed),
    "logprobs": (0, most_logprobs),
    "prompt_logprobs": (0, most_logprobs),
}


shown_characters = 60  # of a wrong value
roles = ("system", "developer", "user", "assistant")

Prompt = str | Sequence[int]
Message = Mapping[str, object]  # {"role": ..., "content": ...}


class BadRequest(ValueError):
    """The call asks for what cannot be; the message names the field and its bounds."""


def prompts_of(prompts: Prompt | Sequence[Prompt]) -> Sequence[Prompt]:
    """A text and a flat list of token ids are one prompt, as over HTTP."""
    if isinstance(prompts, str) or (_is_list(prompts) and len(prompts) > 0 and type(prompts[0]) is int):
        return [cast(Prompt, prompts)]
    if not _is_list(prompts):
        raise BadRequest(f"prompts: {_shown(prompts)} is no text, no list of token ids, no list of either")
    return cast(Sequence[Prompt], prompts)


def samplings_of(sampling: Sampling | Sequence[Sampling], prompts: int) -> Sequence[Sampling]:
    samplings = [sampling] * prompts if isinstance(sampling, Sampling) else sampling
    if not _is_list(samplings):
        raise BadRequest(f"sampling: {_shown(samplings)} is no Sampling, and no list of them")
    if len(samplings) != prompts:
        raise BadRequest(f"sampling: there are {len(samplings)} for {prompts} prompts")
    return samplings


def conversations_of(
    conversations: Sequence[Message] | Sequence[Sequence[Message]],
) -> Sequence[Sequence[Message]]:
    """One conversation, or several."""
    if not isinstance(conversations, Sequence):
        raise BadRequest(f"conversations: {_shown(conversations)} is no list of messages, nor of such lists")
    single = len(conversations) > 0 and not _is_list(conversations[0])
    return cast(Sequence[Sequence[Message]], [conversations] if single else conversations)


def messages_of(conversation: Sequence[Message]) -> list[dict[str, object]]:
    """Messages fit for a template: a developer's are the system's, as over HTTP."""
    if len(conversation) == 0:
        raise BadRequest("messages: there is none")
    messages = []
    for i, message in enumerate(conversation):
        if not isinstance(message, Mapping):
            raise BadRequest(f"messages[{i}]: {_shown(message)} is no dict with role and content")
        role, content = message.get("role"), message.get("content")
        if role not in roles:
            raise BadRequest(f"messages[{i}].role: {_shown(role)} is not one of {', '.join(roles)}")
        if not isinstance(content, str):
            raise BadRequest(f"messages[{i}].content: {_shown(content)} is no text")
        messages.append({**message, "role": "system" if role == "developer" else role})
    return messages


class Door:
    """`seed` makes the answers to requests without one repeatable; None draws it."""

    def __init__(self, tokenizer: Tokenizer, vocab: int, seed: int | None, classes: Sequence[str]) -> None:
        self._classes = classes
        self._tokenizer = tokenizer
        self._vocab = vocab
        self._seeds = count(SystemRandom().randrange(largest_seed // 2) if seed is None else seed)

    def service_class(self, name: str) -> str:
        if name not in self._classes:
            raise BadRequest(f"service_class: {_shown(name)} is not one of {', '.join(self._classes)}")
        return name

    def token_ids(self, prompt: Prompt) -> "array[int]":
        ids: Sequence[int]
        if isinstance(prompt, str):
            ids = self.text_ids(prompt, add_special=True)
        elif _is_list(prompt):
            ids = prompt
        else:
            raise BadRequest(f"prompt: {_shown(prompt)} is no text, and no list of token ids")
        if len(ids) == 0:
            raise BadRequest("prompt: it has no token")
        self._check_ids("prompt", ids)
        return array("i", ids)

    def text_ids(self, text: str, *, add_special: bool) -> list[int]:
        try:
            return self._tokenizer.encode(text, add_special)
        except BadText as error:
            raise BadRequest(f"prompt: {error}") from error

    def sampling(self, sampling: Sampling) -> Sampling:
        """The same with a seed and the model's ends of text, fit for the engine."""
        if not isinstance(sampling, Sampling):
            raise BadRequest(f"sampling: {_shown(sampling)} is no Sampling")
        for name, (low, high) in bounds.items():
            _check(name, getattr(sampling, name), low, high)
        if sampling.min_tokens > sampling.max_tokens:
            words = f"{sampling.min_tokens} is over max_tokens, which is {sampling.max_tokens}"
            raise BadRequest(f"min_tokens: {words}")
        self._check_bias(sampling.logit_bias)
        self._check_ids("stop_ids", sampling.stop_ids)
        _check_stops(sampling.stop_strings)
        ends = () if sampling.ignore_eos else self._tokenizer.eos_ids
        return replace(
            sampling,
            seed=next(self._seeds) if sampling.seed is None else sampling.seed,
            stop_ids=tuple(dict.fromkeys((*sampling.stop_ids, *ends))),
        )

    def _check_bias(self, pairs: object) -> None:
        if not _is_list(pairs) or not all(_is_list(pair) and len(pair) == 2 for pair in pairs):
            raise BadRequest(f"logit_bias: {_shown(pairs)} is not a tuple of pairs (token id, bias)")
        ids = [id for id, _ in pairs]
        self._check_ids("logit_bias", ids)
        if len(set(ids)) < len(ids):
            raise BadRequest("logit_bias: a token id stands twice")
        for _, bias in pairs:
            _check("logit_bias", bias, -100.0, 100.0)

    def _check_ids(self, name: str, ids: object) -> None:
        if not _is_list(ids):
            raise BadRequest(f"{name}: {_shown(ids)} is not a tuple of token ids")
        if not all(type(id) is int and 0 <= id < self._vocab for id in ids):
            raise BadRequest(f"{name}: token ids are whole numbers from 0 to {self._vocab - 1}")


def _check_stops(stops: object) -> None:
    if not _is_list(stops) or not all(isinstance(stop, str) for stop in stops):
        raise BadRequest(f"stop_strings: {_shown(stops)} is not a tuple of texts")
    if "" in stops:
        raise BadRequest("stop_strings: an empty one would stop at once")


def _is_list(value: object) -> TypeGuard[Sequence[Any]]:
    """A text or bytes are sequences to Python, and no list to those who ask."""
    return isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= shown_characters else f"{type(value).__name__} of {len(text):,} characters"


def _check(name: str, value: float | None, low: float, high: float) -> None:
    if value is None and name in ("seed", "logprobs", "prompt_logprobs"):
        return
    kinds = (int,) if type(low) is int else (int, float)
    if type(value) not in kinds or value is None or not isfinite(value) or not low <= value <= high:
        kind = "a whole" if type(low) is int else "a"
        raise BadRequest(f"{name}: {value!r} is not {kind} number from {low} to {high}")
