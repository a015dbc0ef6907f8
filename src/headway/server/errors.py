"""How a request is told no: one exception, one JSON shape. Nothing of our inside ever stands in a message."""

from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

_types = {
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


class ApiError(Exception):
    """`param` names the field at fault; `retry_after_s` is for those who may try again,
    `is_final` for clients that would do so by themselves and shall not."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
        is_final: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.retry_after_s = retry_after_s
        self.is_final = is_final

    def body(self) -> dict[str, object]:
        kind = _types.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return {"error": error}

    def response(self) -> JSONResponse:
        headers = {}
        if self.retry_after_s is not None:
            headers["retry-after"] = str(max(1, round(self.retry_after_s)))  # whole seconds, by the RFC
        if self.is_final:
            headers["x-should-retry"] = "false"  # which OpenAI's clients obey
        if self.status in (408, 413):
            headers["connection"] = "close"  # the rest of the body is not wanted
        return JSONResponse(self.body(), self.status, headers)


def bad(message: str, param: str | None = None) -> ApiError:
    """The caller's mistake in a field's value."""
    return ApiError(400, message, param=param, code="invalid_value")


def answer_errors(app: FastAPI) -> None:
    """Give every error of the app the one shape."""

    @app.exception_handler(ApiError)
    async def own(request: Request, error: ApiError) -> JSONResponse:
        return error.response()

    @app.exception_handler(HTTPException)
    async def routing(request: Request, error: HTTPException) -> JSONResponse:
        words = f"{HTTPStatus(error.status_code).phrase}: {request.method} on this path"
        answer = ApiError(error.status_code, words, code="no_route").response()
        answer.headers.update(error.headers or {})
        return answer
