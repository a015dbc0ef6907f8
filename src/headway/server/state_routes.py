"""How the server is: /health, /ready, /metrics, /version, and the page that shows it."""

from importlib.resources import files

from fastapi import APIRouter
from starlette.responses import HTMLResponse, JSONResponse, Response

from headway.server.engine_client import EngineState
from headway.server.services import Services


def state_routes(services: Services) -> APIRouter:
    routes = APIRouter()
    page = files("headway.server").joinpath("dashboard.html").read_text(encoding="utf-8")

    @routes.head("/health", include_in_schema=False)
    @routes.get("/health")
    async def health() -> JSONResponse:
        """200 while the engine loads or works, 503 when it is dead, silent or in a step that does not end."""
        state = services.client.state
        sick = state in (EngineState.HUNG, EngineState.DEAD)
        return JSONResponse({"status": state, "detail": services.client.trouble}, 503 if sick else 200)

    @routes.head("/ready", include_in_schema=False)
    @routes.get("/ready")
    async def ready() -> JSONResponse:
        """200 when requests are taken, 503 while starting, draining, hung or dead."""
        standing = services.standing()
        return JSONResponse(standing, 200 if standing["status"] is EngineState.READY else 503)

    @routes.get("/metrics")
    async def metrics() -> Response:
        return Response(services.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @routes.get("/version")
    async def version() -> dict[str, str]:
        return {"version": services.version}

    @routes.get("/", include_in_schema=False)
    async def dashboard() -> HTMLResponse:
        return HTMLResponse(page, headers={"content-security-policy": _page_policy})

    return routes


_page_policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"
