"""The web application: which routes there are, behind which guard. Nothing is decided here."""

from fastapi import FastAPI, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from headway.server.admin_routes import admin_routes
from headway.server.errors import answer_errors
from headway.server.generate_routes import generate_routes
from headway.server.guard import Guard
from headway.server.model_routes import model_routes
from headway.server.openapi import describe_bodies
from headway.server.services import Services
from headway.server.slo_routes import slo_routes
from headway.server.state_routes import state_routes


def create_app(services: Services) -> FastAPI:
    app = FastAPI(
        title="Headway", version=services.version, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    for routes in (generate_routes, model_routes, slo_routes, admin_routes, state_routes):
        app.include_router(routes(services))
    answer_errors(app)

    @app.exception_handler(ClientDisconnect)
    async def client_gone(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=499)  # for the log: nobody is there to read it

    app.add_middleware(Guard, settings=services.settings)
    describe_bodies(app)
    return app
