"""POST /v1/drain keeps new requests away, POST /v1/abort ends open ones. Both need the admin key."""

import logging

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

from headway.server.body import has_body
from headway.server.errors import ApiError, bad
from headway.server.keys import require_admin
from headway.server.open_exchanges import OpenExchange
from headway.server.openapi import takes
from headway.server.schema import Abort, Drain
from headway.server.services import Services

log = logging.getLogger("headway.admin")


def admin_routes(services: Services) -> APIRouter:
    routes = APIRouter()

    @routes.post("/v1/drain", openapi_extra=takes(Drain, required=False))
    async def drain(request: Request) -> JSONResponse:
        """Nothing new is taken from now on, what is open is finished; or that is taken back."""
        require_admin(request, services.settings)
        body = (await services.read(request, Drain)).body if has_body(request.headers) else Drain()
        _set_drain(services, on=not body.cancel)
        return JSONResponse(services.standing())

    @routes.post("/v1/abort", openapi_extra=takes(Abort))
    async def abort(request: Request) -> JSONResponse:
        """The requests that are named end with an error, and no others."""
        require_admin(request, services.settings)
        body = (await services.read(request, Abort)).body
        named, unknown = _named(services, body)
        meant = [exchange for exchange in named if exchange.waits or body.state is None]
        ended = sum(exchange.abort() for exchange in meant)
        log.info("abort of %s: requests ended: %d, ids unknown: %d", _in_words(body), ended, len(unknown))
        return JSONResponse({"aborted": ended, "unknown": unknown})

    return routes


def _set_drain(services: Services, *, on: bool) -> None:
    """Raises ApiError 409."""
    client = services.client
    if not on and client.ending:
        words = "the server is shutting down, and a drain cannot be taken back any more"
        raise ApiError(409, words, code="shutting_down")
    if client.drained == on:
        return
    if on:
        client.drain()
        log.info("drain: nothing new is taken; requests that are open: %d", len(services.open_exchanges))
    else:
        client.undrain()
        log.info("the drain is taken back: requests are taken again")


def _named(services: Services, body: Abort) -> tuple[list[OpenExchange], list[str]]:
    """Open exchanges, and ids that none of them has. Raises ApiError 400."""
    if [body.ids is not None, body.service_class is not None, body.all is True].count(True) != 1:
        raise bad("ids: one of ids, class and all must say which requests, and only one", "ids")
    there = list(services.open_exchanges)
    if body.ids is not None:
        wanted = dict.fromkeys(body.ids)
        found = [exchange for exchange in there if not exchange.ids.isdisjoint(wanted)]
        known = {id for exchange in found for id in exchange.ids}
        return found, [id for id in wanted if id not in known]
    if body.service_class is not None:
        if body.service_class not in services.tuning.known:
            words = f"{body.service_class[:40]!r} is no class; there are {', '.join(services.tuning.known)}"
            raise bad(f"class: {words}", "class")
        there = [exchange for exchange in there if exchange.service_class == body.service_class]
    return there, []


def _in_words(body: Abort) -> str:
    who = "all" if body.all else f"class {body.service_class}" if body.ids is None else "named ids"
    return who if body.state is None else f"{who}, {body.state}"
