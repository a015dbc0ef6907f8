"""What a library call may ask: prompts become token ids, samplings are checked and completed, or BadRequest.

The engine behind it never checks ranges. Whether a request fits is the engine's verdict, not this one's.
"""

from array import array
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from math import isfinite
from random import SystemRandom

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


class BadRequest(ValueError):
    """The call asks for what cannot be; the message names the field and its bounds."""


class Door:
    """`seed` makes the answers to requests without one repeatable; None draws it."""

    def __init__(self, tokenizer: Tokenizer, vocab: int, seed: int | None) -> None:
        self._tokenizer = tokenizer
        self._vocab = vocab
        self._seeds = count(SystemRandom().randrange(largest_seed // 2) if seed is None else seed)

    def token_ids(self, prompt: str | Sequence[int]) -> "array[int]":
        ids = self.text_ids(prompt, add_special=True) if isinstance(prompt, str) else prompt
        if len(ids) == 0:
            raise BadRequest("prompt: it has no token")
        if not all(type(id) is int and 0 <= id < self._vocab for id in ids):
            raise BadRequest(f"prompt: token ids are whole numbers from 0 to {self._vocab - 1}")
        return array("i", ids)

    def text_ids(self, text: str, *, add_special: bool) -> list[int]:
        try:
            return self._tokenizer.encode(text, add_special)
        except BadText as error:
            raise BadRequest(f"prompt: {error}") from error

    def sampling(self, sampling: Sampling) -> Sampling:
        """The same with a seed and the model's ends of text, fit for the engine."""
        for name, (low, high) in bounds.items():
            _check(name, getattr(sampling, name), low, high)
        for id, bias in sampling.logit_bias:
            if not 0 <= id < self._vocab:
                raise BadRequest(f"logit_bias: token ids are whole numbers from 0 to {self._vocab - 1}")
            _check("logit_bias", bias, -100.0, 100.0)
        if any(not 0 <= id < self._vocab for id in sampling.stop_ids):
            raise BadRequest(f"stop_ids: token ids are whole numbers from 0 to {self._vocab - 1}")
        if "" in sampling.stop_strings:
            raise BadRequest("stop_strings: an empty one would stop at once")
        ends = () if sampling.ignore_eos else self._tokenizer.eos_ids
        return replace(
            sampling,
            seed=next(self._seeds) if sampling.seed is None else sampling.seed,
            stop_ids=tuple(dict.fromkeys((*sampling.stop_ids, *ends))),
        )


def _check(name: str, value: float | None, low: float, high: float) -> None:
    if value is None and name in ("seed", "logprobs", "prompt_logprobs"):
        return
    kinds = (int,) if type(low) is int else (int, float)
    if type(value) not in kinds or value is None or not isfinite(value) or not low <= value <= high:
        kind = "a whole" if type(low) is int else "a"
        raise BadRequest(f"{name}: {value!r} is not {kind} number from {low} to {high}")
