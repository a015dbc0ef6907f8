"""What /openapi.json says of bodies that we read ourselves."""

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from headway.server.schema import Abort, Chat, Completion, Detokenize, Drain, Tokenize, Tune

_bodies = (Chat, Completion, Tokenize, Detokenize, Tune, Drain, Abort)
_refs = "#/components/schemas/{model}"


def takes(body: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """For a route's `openapi_extra`."""
    schema = {"$ref": _refs.format(model=body.__name__)}
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}


def describe_bodies(app: FastAPI) -> None:
    """Add the bodies' schemas to the app's document."""
    document = app.openapi()
    _, definitions = models_json_schema([(body, "validation") for body in _bodies], ref_template=_refs)
    document.setdefault("components", {}).setdefault("schemas", {}).update(definitions["$defs"])
