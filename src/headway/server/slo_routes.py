"""GET /v1/slo says what is promised and kept; POST /v1/slo changes it while the server runs."""

import asyncio

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

from headway.server.errors import ApiError
from headway.server.keys import require_admin
from headway.server.listening import EngineGone
from headway.server.openapi import takes
from headway.server.schema import Tune
from headway.server.services import Services
from headway.server.slo import live_json

taken_within_s = 10.0  # an engine that goes takes a change at once


def slo_routes(services: Services) -> APIRouter:
    routes = APIRouter()

    @routes.get("/v1/slo")
    async def slo() -> JSONResponse:
        """Per class: what is promised, how much of it is kept, and what cannot be kept here."""
        return JSONResponse(services.promises())

    @routes.post("/v1/slo", openapi_extra=takes(Tune))
    async def tune(request: Request) -> JSONResponse:
        """Other classes or another policy from the next step on. Needs the admin key."""
        require_admin(request, services.settings)
        body = (await services.read(request, Tune)).body
        services.require_ready()
        try:
            change = services.tuning.change(body)
            async with asyncio.timeout(taken_within_s):
                await asyncio.shield(change.applied)
        except EngineGone as error:
            raise ApiError(503, str(error), code="engine_gone", retry_after_s=5.0) from None
        except TimeoutError:
            words = "the change is handed over and the engine has not taken it; GET /v1/slo says when it has"
            raise ApiError(503, words, code="not_taken_yet") from None
        return JSONResponse(live_json(change, services.tuning))

    return routes
