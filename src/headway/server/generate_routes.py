"""POST /v1/completions and /v1/chat/completions."""

import logging
import secrets
import time
from typing import TypeVar

from fastapi import APIRouter, Request
from starlette.responses import Response

from headway.server.answer import EventStream, while_connected, whole
from headway.server.contract import check_slo_headers
from headway.server.door import Asked
from headway.server.generation import Generation
from headway.server.openapi import takes
from headway.server.schema import Chat, Completion, Generate
from headway.server.services import Received, Services
from headway.server.shapes import ChatShape, CompletionShape, Shape
from headway.server.validation import unknown_fields

log = logging.getLogger("headway.server")


def generate_routes(services: Services) -> APIRouter:
    routes = APIRouter()

    @routes.post("/v1/completions", openapi_extra=takes(Completion))
    async def completions(request: Request) -> Response:
        """Text that continues a prompt, or several."""
        received = await _receive(request, services, Completion)
        asked = await while_connected(request, services.door.completion(received.body, received.arrival_s))
        return await _answer(request, services, received.body, asked)

    @routes.post("/v1/chat/completions", openapi_extra=takes(Chat))
    async def chat_completions(request: Request) -> Response:
        """The assistant's next message in a conversation."""
        received = await _receive(request, services, Chat)
        asked = await while_connected(request, services.door.chat(received.body, received.arrival_s))
        return await _answer(request, services, received.body, asked)

    return routes


B = TypeVar("B", bound=Generate)


async def _receive(request: Request, services: Services, kind: type[B]) -> Received[B]:
    check_slo_headers(request.headers)
    received = await services.read(request, kind)
    services.require_model(received.body.model)
    services.require_ready()
    return received


async def _answer(request: Request, services: Services, body: Generate, asked: Asked) -> Response:
    generation = Generation(services.client, asked, services.door.tokenizer)
    shape = _shape(services, body, asked)
    if not body.stream:
        response = await while_connected(request, whole(generation, shape))
    else:
        try:
            await while_connected(request, generation.start())
        except BaseException:
            generation.close()
            raise
        response = EventStream(generation, shape, body.stream_options, services.settings.ping_s)
    if unknown := unknown_fields(body):
        log.warning("fields that nobody reads: %s", ", ".join(unknown))
        response.headers["x-headway-warning"] = f"unknown fields: {', '.join(unknown)}"
    return response


def _shape(services: Services, body: Generate, asked: Asked) -> Shape:
    kind = ChatShape if isinstance(body, Chat) else CompletionShape
    return kind(
        secrets.token_hex(12),
        int(time.time()),
        services.settings.model,
        services.door.tokenizer,
        logprobs=asked.sampling.logprobs is not None,
    )
