"""From a checked body to what the engine takes: sampling and, once the prompt is counted, its length.

Owns the rules between fields and those that need the model's numbers. Pure: no text, no waiting.
"""

from array import array
from collections.abc import Sequence
from typing import TypeVar

from headway.core.types import Sampling, type_code
from headway.server.errors import ApiError, bad
from headway.server.fields import largest_seed
from headway.server.schema import Chat, Completion, Generate
from headway.server.wire import Facts

default_completion_tokens = 16
most_sequences = 512  # prompts times n of one body; fewer where the queue is shorter


class Logprobs:
    """How many alternatives are asked for; None: no log-probabilities."""

    def __init__(self, body: Generate) -> None:
        self.of_output: int | None = None
        self.of_prompt: int | None = None
        if isinstance(body, Completion):
            self.of_output = body.logprobs
            self.of_prompt = body.logprobs if body.echo else None
        elif isinstance(body, Chat) and body.logprobs:
            self.of_output = body.top_logprobs or 0


def check_fields(body: Generate, facts: Facts) -> None:
    """The rules between fields, and what the engine could never hold. Raises ApiError 400."""
    vocab, context = facts.vocab, facts.max_model_len
    if body.stream_options is not None and not body.stream:
        raise bad("stream_options: it needs stream to be true", "stream_options")
    if isinstance(body, Chat) and body.top_logprobs is not None and not body.logprobs:
        raise bad("top_logprobs: it needs logprobs to be true", "top_logprobs")
    if isinstance(body, Completion):
        if body.best_of is not None and body.best_of != (body.n or 1):
            words = f"best_of: {body.best_of} is not supported yet; it must equal n, which is {body.n or 1}"
            raise bad(words, "best_of")
        for prompt in body.prompt:
            if not isinstance(prompt, str):
                output_tokens(body, len(prompt), context)  # before each id is looked at
                check_ids(prompt, vocab, "prompt")
    _check_sequences(body, min(most_sequences, facts.max_queued))
    check_ids([id for id, _ in body.logit_bias], vocab, "logit_bias")
    check_ids(body.stop_token_ids or (), vocab, "stop_token_ids")


def _check_sequences(body: Generate, most: int) -> None:
    prompts = len(body.prompt) if isinstance(body, Completion) else 1
    choices = body.n or 1
    if prompts * choices > most:
        param = "prompt" if choices == 1 else "n"
        words = f"{param}: prompts times n is {prompts * choices:,}; at most {most:,} are taken"
        raise bad(words, param)


def check_count(tokens: int, context: int, param: str) -> None:
    """Raises ApiError 400 with both numbers if there are more than the context holds."""
    if tokens > context:
        words = f"{param}: {tokens:,} tokens; the context holds {context:,}"
        raise ApiError(400, words, param=param, code="context_length_exceeded")


def check_ids(ids: Sequence[int], vocab: int, param: str) -> None:
    if ids and not (min(ids) >= 0 and max(ids) < vocab):
        wrong = next(id for id in ids if not 0 <= id < vocab)
        words = f"{param}: {str(wrong)[:24]} is no token id; they are whole numbers from 0 to {vocab - 1}"
        raise bad(words, param)


def output_tokens(body: Generate, prompt_tokens: int, context: int) -> int:
    """How many tokens the answer may have. Raises ApiError 400 with the numbers when that cannot be."""
    name, asked = "max_tokens", body.max_tokens
    if isinstance(body, Chat) and body.max_completion_tokens is not None:
        name, asked = "max_completion_tokens", body.max_completion_tokens
    rest = context - prompt_tokens
    if rest < (asked or 1):
        words = f"the prompt has {prompt_tokens:,} tokens"
        if asked is None:
            words += ", which leaves no room for an answer"
        else:
            words += f" and {name} is {asked:,}, {prompt_tokens + asked:,} together"
        words += f"; the context holds {context:,}"
        param = "messages" if isinstance(body, Chat) else "prompt"
        raise ApiError(400, words, param=param, code="context_length_exceeded")
    if asked is None:
        asked = rest if isinstance(body, Chat) else min(rest, default_completion_tokens)
    if (body.min_tokens or 0) > asked:
        raise bad(f"min_tokens: {body.min_tokens} is over {name}, which is {asked}", "min_tokens")
    return asked


def make_sampling(body: Generate, eos_ids: Sequence[int], seed: int, max_tokens: int) -> Sampling:
    """`seed` is for a body that brings none."""
    logprobs = Logprobs(body)
    own_stops = body.stop_token_ids or ()
    return Sampling(
        max_tokens=max_tokens,
        temperature=_or(body.temperature, 1.0),
        top_p=_or(body.top_p, 1.0),
        top_k=max(0, _or(body.top_k, 0)),  # -1 means no limit elsewhere, and so it does here
        min_p=_or(body.min_p, 0.0),
        frequency_penalty=_or(body.frequency_penalty, 0.0),
        presence_penalty=_or(body.presence_penalty, 0.0),
        repetition_penalty=_or(body.repetition_penalty, 1.0),
        logit_bias=body.logit_bias,
        seed=_or(body.seed, seed) & largest_seed,  # the engine's seeds have no sign
        logprobs=logprobs.of_output,
        prompt_logprobs=logprobs.of_prompt,
        stop_ids=tuple(dict.fromkeys((*own_stops, *(() if body.ignore_eos else eos_ids)))),
        stop_strings=body.stop,
        ignore_eos=bool(body.ignore_eos),
        min_tokens=body.min_tokens or 0,
    )


T = TypeVar("T")


def _or(value: T | None, default: T) -> T:
    return default if value is None else value


def token_array(ids: Sequence[int]) -> "array[int]":
    return array(type_code, ids)
