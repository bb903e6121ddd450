"""Reading the body of a request: bounded before, while and after it arrives."""

import asyncio
import json
import re
from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from textgenome.serving.errors import FieldError
from textgenome.serving.limits import Limits, Share


Asked = TypeVar("Asked", bound=BaseModel)
SHOWN = 300  # characters of what was given
JSON = re.compile(r"application/([\w.-]+\+)?json\s*(;.*)?", re.IGNORECASE)


async def read_body(request: Request, limits: Limits, share: Share) -> bytearray:
    """The body, of which the share holds every byte.

    Raises:
        FieldError: If it is not said to be JSON, or is too large.
        QueueFull: If all requests together hold too much.
        HTTPException: If it takes too long to arrive.
    """
    content_type = request.headers.get("content-type")
    if not JSON.fullmatch(content_type or ""):
        got = f"got {content_type}" if content_type else "there is none"
        raise FieldError("Content-Type", f"say application/json: {got}")
    declared = request.headers.get("content-length", "")
    body, expected = bytearray(), int(declared) if declared.isdecimal() else 0
    _hold(share, expected, limits)
    try:
        async with asyncio.timeout(limits.seconds):
            async for some in request.stream():
                _hold(share, max(expected, len(body) + len(some)), limits)
                body += some
    except TimeoutError as error:
        message = f"body: it took longer than {limits.seconds:g} seconds to arrive."
        raise HTTPException(408, message, {"Connection": "close"}) from error
    return body


def _hold(share: Share, size: int, limits: Limits) -> None:
    if size > limits.body_bytes:
        raise FieldError("body", f"at most {limits.body_bytes} bytes are taken", 413)
    share.resize(size)


def parse(body: bytearray, kind: type[Asked]) -> Asked:
    """What the body says. It is emptied: nothing is kept twice.

    Raises:
        FieldError: If it is not JSON, or not what is expected.
    """
    try:
        value = json.loads(body)
    except json.JSONDecodeError as error:
        raise FieldError("body", f"it is not JSON: {error.msg} at character {error.pos}") from error
    except UnicodeDecodeError as error:
        raise FieldError("body", f"it is not UTF-8 at byte {error.start}") from error
    except (ValueError, RecursionError) as error:
        raise FieldError(
            "body", "it is not JSON that can be read: a number is too long, or it is nested too deep"
        ) from error
    finally:
        body.clear()
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        # Without what was given, which an error could hold many times.
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field = ".".join(map(str, first["loc"]))
    field = re.sub(r"(content\.\d+)\.(?:text|dna|variant)(?=\.)", r"\1", field)  # the type is not a level of its own
    # Both may hold a name that was given.
    message = first["msg"].removeprefix("Value error, ")
    raise FieldError(shorten(field) or "body", shorten(message))


def shorten(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


__all__ = ["parse", "read_body"]
