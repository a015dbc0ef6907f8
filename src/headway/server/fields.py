"""The kinds of field that request bodies are made of. Each says in words what it allows.

The words are the field's description in /openapi.json and the end of the message that refuses a value.
"""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

repetition_range = (0.01, 100.0)  # logits are divided by it, and stay finite
largest_seed = (1 << 63) - 1
most_logprobs = 20
most_tokens = 1 << 24  # of one answer, before the context is known
most_choices = 128
most_prompts = 256
most_stops, stop_characters = 16, 1_000
most_stop_ids = 256
most_parts = 1_024  # of one message's content
most_biases = 1_024
classes_characters, most_removed = 8_192, 32  # of a live change
most_ids = 1_024  # of an abort
window_s_range = (1.0, 3600.0)  # over which one is judged
name_characters = 512  # of whatever is only passed through: user, keys, tags


def whole(low: int, high: int) -> Any:
    return Field(None, ge=low, le=high, description=f"a whole number from {low} to {high}")


def number(low: float, high: float, *, above: bool = False) -> Any:
    """`above`: the low end itself is not allowed."""
    words = f"a finite number {'above' if above else 'from'} {low:g} {'up ' if above else ''}to {high:g}"
    gt, ge = (low, None) if above else (None, low)
    return Field(None, gt=gt, ge=ge, le=high, allow_inf_nan=False, description=words)


def switch() -> Any:
    return Field(None, description="true or false")


def text(longest: int, shortest: int = 0) -> Any:
    words = f"a text of {shortest} to {longest:,} characters"
    return Field(None, min_length=shortest, max_length=longest, description=words)


def _read_stop(value: object) -> object:
    stops = [value] if isinstance(value, str) else value
    if stops is None:
        return ()
    if not isinstance(stops, list) or len(stops) > most_stops:
        raise ValueError
    if not all(isinstance(stop, str) and 0 < len(stop) <= stop_characters for stop in stops):
        raise ValueError
    return tuple(stops)


_stop_schema = {
    "anyOf": [
        {"type": "string", "minLength": 1, "maxLength": stop_characters},
        {
            "type": "array",
            "maxItems": most_stops,
            "items": {"type": "string", "minLength": 1, "maxLength": stop_characters},
        },
        {"type": "null"},
    ]
}

Stop = Annotated[
    tuple[str, ...],
    BeforeValidator(_read_stop),
    Field(
        description=f"a text of 1 to {stop_characters:,} characters, or a list of at most {most_stops} such",
        json_schema_extra=_stop_schema,
    ),
]


def _read_bias(value: object) -> object:
    """Keys are token ids as JSON can write them: decimal strings."""
    if value is None:
        return ()
    if not isinstance(value, dict) or len(value) > most_biases:
        raise ValueError
    pairs = []
    for key, bias in value.items():
        plain = key.isascii() and key.isdigit() and len(key) <= 10
        if not plain or type(bias) not in (int, float) or not -100 <= bias <= 100:
            raise ValueError
        pairs.append((int(key), float(bias)))
    if len(dict(pairs)) < len(pairs):
        raise ValueError  # "1" and "01"
    return tuple(pairs)


Bias = Annotated[
    tuple[tuple[int, float], ...],
    BeforeValidator(_read_bias),
    Field(
        description=f"an object of at most {most_biases:,} different token ids with numbers from -100 to 100",
        json_schema_extra={
            "anyOf": [
                {
                    "type": "object",
                    "maxProperties": most_biases,
                    "propertyNames": {"pattern": "^[0-9]{1,10}$"},
                    "additionalProperties": {"type": "number", "minimum": -100, "maximum": 100},
                },
                {"type": "null"},
            ]
        },
    ),
]


def _read_prompt(value: object) -> object:
    """A text or token ids, or a list of either. Whether the ids are in the vocabulary is checked later."""
    prompts = value if isinstance(value, list) and value and isinstance(value[0], str | list) else [value]
    if len(prompts) > most_prompts or not all(map(_is_prompt, prompts)):
        raise ValueError
    return tuple(prompts)


def _is_prompt(value: object) -> bool:
    if isinstance(value, str):
        return value != ""
    return isinstance(value, list) and len(value) > 0 and all(type(id) is int for id in value)


_ids_schema = {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 0}}
_text_schema = {"type": "string", "minLength": 1}

Prompt = Annotated[
    tuple[str | list[int], ...],
    BeforeValidator(_read_prompt),
    Field(
        description=f"a text or a list of token ids, not empty, or a list of at most {most_prompts} of them",
        json_schema_extra={
            "anyOf": [
                _text_schema,
                _ids_schema,
                {"type": "array", "minItems": 1, "maxItems": most_prompts, "items": _text_schema},
                {"type": "array", "minItems": 1, "maxItems": most_prompts, "items": _ids_schema},
            ]
        },
    ),
]


def _check_metadata(value: object) -> object:
    if value is None:
        return value
    if not isinstance(value, dict) or len(value) > 16:
        raise ValueError
    if not all(isinstance(v, str) and len(k) <= 64 and len(v) <= name_characters for k, v in value.items()):
        raise ValueError
    return value


Metadata = Annotated[
    dict[str, str] | None,
    BeforeValidator(_check_metadata),
    Field(description=f"an object of at most 16 texts of at most {name_characters} characters"),
]
