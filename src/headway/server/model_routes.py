"""What is served and how it reads text: /v1/models, /tokenize, /detokenize, /tokenizer_info."""

import time

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from headway.server.answer import while_connected
from headway.server.errors import bad
from headway.server.openapi import takes
from headway.server.sampling import check_count, check_ids
from headway.server.schema import Detokenize, Tokenize
from headway.server.services import Services
from headway.server.shapes import Json


def model_routes(services: Services) -> APIRouter:
    routes = APIRouter()
    created = int(time.time())
    tokenizer = services.door.tokenizer

    def card(name: str) -> Json:
        facts = services.client.facts
        model: Json = {
            "id": name,
            "root": services.settings.model,
            "object": "model",
            "created": created,
            "owned_by": "headway",
        }
        return model if facts is None else {**model, "max_model_len": facts.max_model_len}

    @routes.get("/v1/models")
    async def models() -> Json:
        return {"object": "list", "data": [card(name) for name in services.settings.models]}

    @routes.get("/v1/models/{name:path}")
    async def model(name: str) -> Json:
        services.require_model(name)
        return card(name)

    @routes.post("/tokenize", openapi_extra=takes(Tokenize))
    async def tokenize(request: Request) -> Response:
        """Token ids of a text, or of a conversation as the model's template writes it."""
        body = (await services.read(request, Tokenize)).body
        services.require_model(body.model)
        services.require_ready()
        ids = await while_connected(request, _ids(services, body))
        return _json({"count": len(ids), "max_model_len": services.door.facts.max_model_len, "tokens": ids})

    @routes.post("/detokenize", openapi_extra=takes(Detokenize))
    async def detokenize(request: Request) -> Response:
        """The text of token ids, special ones written out."""
        body = (await services.read(request, Detokenize)).body
        services.require_model(body.model)
        services.require_ready()
        check_count(len(body.tokens), services.door.facts.max_model_len, "tokens")
        check_ids(body.tokens, tokenizer.vocab_size, "tokens")
        text = await while_connected(request, services.door.text_of(body.tokens))
        return _json({"prompt": text})

    @routes.get("/tokenizer_info")
    async def tokenizer_info() -> Json:
        return {
            "vocab_size": tokenizer.vocab_size,
            "bos_token_id": tokenizer.bos_id,
            "eos_token_ids": list(tokenizer.eos_ids),
            "special_token_ids": sorted(tokenizer.special_ids),
            "chat_template": tokenizer.chat_template,
        }

    return routes


def _json(value: Json) -> Response:
    """For long answers: FastAPI would look at each token on the event loop."""
    return Response(msgspec.json.encode(value), media_type="application/json")


async def _ids(services: Services, body: Tokenize) -> list[int]:
    if (body.prompt is None) == (body.messages is None):
        raise bad("prompt: either it or messages must be given", "prompt")
    if body.prompt is not None:
        add_special = body.add_special_tokens is not False
        return await services.door.text_ids(body.prompt, "prompt", add_special=add_special)
    return await services.door.chat_ids(body)
