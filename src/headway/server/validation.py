"""From a JSON object to a checked body: pydantic's findings put into our words.

Names the field and what it allows; a wrong value is quoted only where it is short.
"""

import json
from heapq import nsmallest
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from headway.server.body import JsonObject
from headway.server.errors import ApiError, bad
from headway.server.schema import Body
from headway.server.unsupported import UNSUPPORTED, refuse_unsupported

B = TypeVar("B", bound=BaseModel)
_shown_characters, _shown_names = 40, 16


def validate(kind: type[B], body: JsonObject) -> B:
    """Raises ApiError 400 with the first field that is wrong."""
    refuse_unsupported(body, frozenset(kind.model_fields))
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        raise _in_words(kind, error.errors(include_url=False, include_context=False)[0]) from None


def unknown_fields(body: Body) -> list[str]:
    """What the client sent and nobody reads, cleaned for a header and a log line."""
    names = nsmallest(_shown_names, (body.model_extra or {}).keys() - UNSUPPORTED.keys())
    return [clean(name, _shown_characters) or "?" for name in names]


def clean(text: str, longest: int) -> str:
    """What of a client's text may stand in a header or a log line."""
    return "".join(c for c in text[:longest] if (c.isalnum() and c.isascii()) or c in "-_.:/")


def _in_words(kind: type[BaseModel], error: ErrorDetails) -> ApiError:
    path = [part for part in error["loc"] if not _is_union_arm(part)]
    param, words = _param(path), _words(kind, path)
    if error["type"] == "missing":
        return ApiError(400, f"{param}: it is required" + words, param=param, code="missing_field")
    if error["type"] == "extra_forbidden":
        name = clean(param, _shown_characters) or "?"
        return bad(f"{name}: no such field; there are {', '.join(_fields(kind))}", name)
    return bad(f"{param}: {_shown(error['input'])} is not allowed" + words, param)


def _is_union_arm(part: int | str) -> bool:
    """Pydantic writes which member of a union it tried into the path."""
    return isinstance(part, str) and (part in ("str", "int", "bool") or "[" in part)


def _param(path: list[int | str]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def _words(kind: type[BaseModel], path: list[int | str]) -> str:
    """What the innermost described field on the path allows."""
    words, model = "", kind
    for part in path:
        field = _fields(model).get(part) if isinstance(part, str) else None
        if field is not None:
            words = field.description or words
            model = _inner_model(field.annotation) or model
    return f"; it must be {words}" if words else ""


def _fields(kind: type[BaseModel]) -> dict[str, FieldInfo]:
    """By the names that clients write."""
    return {field.alias or name: field for name, field in kind.model_fields.items()}


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    """The model inside an annotation such as `list[Message] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if (found := _inner_model(argument)) is not None:
            return found
    return None


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = json.dumps(value) if isinstance(value, str | int | float | None) else type(value).__name__
    return text if len(text) <= _shown_characters else f"a value of {len(text):,} characters"
