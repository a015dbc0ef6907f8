"""POST /v1/completions and /v1/chat/completions."""

import logging
import secrets
import time
from collections.abc import Coroutine
from contextlib import ExitStack
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from starlette.responses import Response

from headway.server.answer import EventStream, while_connected, whole
from headway.server.door import Asked
from headway.server.generation import Generation
from headway.server.guard import exchange_ids
from headway.server.keys import class_of_key, may_tighten
from headway.server.openapi import takes
from headway.server.schema import Chat, Completion, Generate
from headway.server.service_class import AskedClass, Defaults, asked_class
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
        body, service_class = received.body, _service_class(request, services, received.body)
        asking = services.door.completion(body, received.arrival_s, service_class)
        return await _answer(request, services, body, service_class, asking)

    @routes.post("/v1/chat/completions", openapi_extra=takes(Chat))
    async def chat_completions(request: Request) -> Response:
        """The assistant's next message in a conversation."""
        received = await _receive(request, services, Chat)
        body, service_class = received.body, _service_class(request, services, received.body)
        asking = services.door.chat(body, received.arrival_s, service_class)
        return await _answer(request, services, body, service_class, asking)

    return routes


B = TypeVar("B", bound=Generate)


async def _receive(request: Request, services: Services, kind: type[B]) -> Received[B]:
    received = await services.read(request, kind)
    services.require_model(received.body.model)
    services.require_ready()
    return received


def _service_class(request: Request, services: Services, body: Generate) -> AskedClass:
    settings, classes = services.settings, services.tuning.in_force.classes
    alias = settings.aliases.get(body.model or settings.model)
    defaults = Defaults(alias, class_of_key(request), settings.default_class)
    return asked_class(body, request.headers, classes, defaults, may_tighten=may_tighten(request))


async def _answer(
    request: Request,
    services: Services,
    body: Generate,
    service_class: AskedClass,
    asking: Coroutine[Any, Any, Asked],
) -> Response:
    """Nothing is awaited between the check that requests are taken and the exchange's being open."""
    with ExitStack() as until_answered:
        entering = services.open_exchanges.enter(exchange_ids(request), service_class.name)
        exchange = until_answered.enter_context(entering)
        asked = await while_connected(request, asking)
        generation = Generation(exchange, asked, services.door.tokenizer)
        until_answered.callback(generation.close)
        await while_connected(request, generation.start())
        shape = _shape(services, body, asked, generation.served[0])
        exchange.ids.add(shape.id)
        if body.stream:
            options, ping_s = body.stream_options, services.settings.ping_s
            response: Response = EventStream(generation, shape, options, ping_s, until_answered.pop_all())
        else:
            response = await while_connected(request, whole(generation, shape))
    _tell_class(response, service_class.name, generation.served)
    if unknown := unknown_fields(body):
        log.warning("fields that nobody reads: %s", ", ".join(unknown))
        response.headers["x-headway-warning"] = f"unknown fields: {', '.join(unknown)}"
    return response


def _tell_class(response: Response, asked: str, served: tuple[str, ...]) -> None:
    """The class that was used, and where that is another the one that was asked for."""
    response.headers["x-headway-class"] = ", ".join(served)
    if served != (asked,):
        response.headers["x-headway-downgraded-from"] = asked


def _shape(services: Services, body: Generate, asked: Asked, served: str) -> Shape:
    id, created, model = secrets.token_hex(12), int(time.time()), body.model or services.settings.model
    tokenizer, logprobs = services.door.tokenizer, asked.sampling.logprobs is not None
    if isinstance(body, Chat):
        tier = asked.service_class.tier_of(served)
        return ChatShape(id, created, model, tokenizer, logprobs=logprobs, tier=tier)
    return CompletionShape(id, created, model, tokenizer, logprobs=logprobs)
