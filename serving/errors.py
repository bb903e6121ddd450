"""Requests that are refused or fail: errors as OpenAI words them."""

from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from textgenome.serving.engine import ModelFailed
from textgenome.serving.limits import QueueFull
from textgenome.serving.responses import NOTICE


TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
LEFT = 499  # as nginx calls it: the client has left


class FieldError(ValueError):
    """A request that cannot be answered. `field` is the path of what is wrong with it."""

    def __init__(self, field: str, message: str, status: int = 400):
        super().__init__(message)
        self.field, self.status = field, status


def refuse(status: int, message: str, field: str | None = None, headers: dict | None = None) -> JSONResponse:
    """The response to a request that is not answered."""
    kind = TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    message = f"{field}: {message}" if field else message
    error = {"message": message, "type": kind, "param": field, "code": None}
    return JSONResponse({"error": error, "notice": NOTICE}, status, headers)


async def refuse_field(_: Request, error: FieldError) -> JSONResponse:
    return refuse(error.status, str(error), error.field)


async def refuse_for_now(_: Request, error: QueueFull) -> JSONResponse:
    return refuse(429, str(error), headers={"Retry-After": str(error.retry_after)})


async def refuse_late(request: Request, _: TimeoutError) -> JSONResponse:
    seconds = request.app.state.service.engine.limits.seconds
    message = f"The answer took longer than {seconds:g} seconds. Ask for fewer tokens."
    # The client of OpenAI would try again at once.
    return refuse(408, message, headers={"x-should-retry": "false"})


async def report_failure(_: Request, error: ModelFailed) -> JSONResponse:
    return refuse(500, str(error))


async def forget(_: Request, __: ClientDisconnect) -> JSONResponse:
    return refuse(LEFT, "The client has left.")


async def refuse_request(_: Request, error: HTTPException) -> JSONResponse:
    return refuse(error.status_code, error.detail, headers=error.headers)


HANDLERS = {
    FieldError: refuse_field,
    QueueFull: refuse_for_now,
    TimeoutError: refuse_late,
    ModelFailed: report_failure,
    ClientDisconnect: forget,
    HTTPException: refuse_request,
}

__all__ = ["HANDLERS", "LEFT", "FieldError", "refuse"]
