"""JSON held against OpenAI's own client types: every field known, every type exact."""

from typing import Any

from openai import BaseModel
from pydantic import TypeAdapter

documented_extras = {"timings"}  # of ours, on an answer or on a stream's last chunk; and the model card's:
model_extras = {"max_model_len", "root"}


def strictly(kind: type[BaseModel], json: Any, extras: set[str] = documented_extras) -> BaseModel:
    """`json` as that type. Fails on a wrong type, a missing field, or one that OpenAI does not know."""
    parsed = TypeAdapter(kind).validate_python(json, strict=True)
    _no_extras(parsed, extras)
    return parsed


def _no_extras(value: Any, allowed: set[str]) -> None:
    if isinstance(value, BaseModel):
        unknown = set(value.model_extra or {}) - allowed
        assert not unknown, f"{type(value).__name__} does not know {unknown}"
        for name in type(value).model_fields:
            _no_extras(getattr(value, name), set())
    elif isinstance(value, list | tuple):
        for item in value:
            _no_extras(item, set())
