"""The service: routes, errors, bounds."""

import asyncio
import contextlib
import re
import secrets
import time
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.staticfiles import StaticFiles
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from transformers.utils import logging

from textgenome.inference.answers import split_output
from textgenome.serving.chat import NOTICE, completion, split_reasoning, stream_completion
from textgenome.serving.engine import Answer, Engine, ModelFailed, Question, QueueFull
from textgenome.serving.limits import Limits
from textgenome.serving.schema import (
    PREDICT_FIELDS,
    ChatRequest,
    FieldError,
    PredictRequest,
    PredictResponse,
    read_question,
)


logger = logging.get_logger(__name__)

PAGE = Path(__file__).parent / "page"
CLOSE = {"Connection": "close"}  # where more of the body would follow
ERROR_TYPES = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}


def create_app(
    engine: Engine, model_name: str, api_key: str | None = None, allow_origins: tuple[str, ...] = ()
) -> FastAPI:
    """The service around an engine.

    Args:
        engine: Answers the questions; its model may be loaded later.
        model_name: What clients call the model.
        api_key: What they must send as bearer token, if anything.
        allow_origins: Other sites whose pages may ask.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        running = asyncio.create_task(engine.run())
        yield
        running.cancel()

    app = FastAPIOffline(
        redoc_url=None,
        title="textgenome",
        description=f"A language model that reads DNA. {NOTICE}",
        lifespan=lifespan,
    )
    app.add_middleware(Guard, limits=engine.limits)
    if allow_origins:
        app.add_middleware(CORSMiddleware, allow_origins=allow_origins, allow_methods=["*"], allow_headers=["*"])
    bearer = HTTPBearer(auto_error=False, description="Only where the service was started with a key.")

    def check_key(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> None:
        given = credentials.credentials.encode("latin-1") if credentials else b""  # as the bytes of a header are read
        if api_key and not secrets.compare_digest(given, api_key.encode()):
            message = "Send the key of this service as `Authorization: Bearer KEY`."
            raise HTTPException(401, message, {"WWW-Authenticate": "Bearer"})

    async def read(request: ChatRequest) -> Question:
        if not engine.ready:
            raise HTTPException(503, "The model is being loaded.", {"Retry-After": "5"})
        if request.model not in (None, model_name):
            raise FieldError("model", f"this service knows {model_name!r} only", status=404)
        engine.refuse_if_full()
        return await asyncio.to_thread(read_question, request, engine)

    @app.post("/v1/chat/completions", dependencies=[Depends(check_key)], summary="Continue a conversation about DNA")
    async def chat(body: ChatRequest, request: Request):
        answers = await start(engine, await read(body))
        if body.stream:
            include_usage = body.stream_options is not None and body.stream_options.include_usage
            stream = stream_completion(answers, model_name, include_usage)
            # Proxies that collect a response before they send it would undo the streaming.
            return StreamingResponse(stream, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
        return completion(await finish(answers, request), model_name)

    @app.post("/predict", dependencies=[Depends(check_key)], summary="Ask about a variant")
    async def predict(body: PredictRequest, request: Request) -> PredictResponse:
        started = time.monotonic()
        try:
            question = await read(body.as_chat())
        except FieldError as error:
            raise FieldError(PREDICT_FIELDS[error.field], str(error), error.status) from error
        answer = await finish(await start(engine, question), request)
        reasoning, content = split_reasoning(answer.text)
        before, given = split_output(answer.text)  # as `textgenome ask` does
        return PredictResponse(
            answer=given or content,
            reasoning=before if given else reasoning,
            processing_time=time.monotonic() - started,
            model_loaded=engine.ready,
            notice=NOTICE,
        )

    @app.get("/v1/models", dependencies=[Depends(check_key)], summary="The model")
    async def models() -> dict:
        window = engine.processor.dna_window if engine.ready else None
        model = {"id": model_name, "object": "model", "created": 0, "owned_by": "textgenome", "dna_window": window}
        return {"object": "list", "data": [model], "notice": NOTICE}

    @app.get("/health", summary="Is the service live, and is the model loaded?")
    async def health() -> JSONResponse:
        state = {"live": True, "ready": engine.ready, "notice": NOTICE}
        return JSONResponse(state, 200 if engine.ready else 503)

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    app.mount("/page", StaticFiles(directory=PAGE))

    @app.exception_handler(RequestValidationError)
    async def refuse_invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"][1:])) if first["type"] != "json_invalid" else ""
        field = re.sub(r"(content\.\d+)\.(?:text|dna|variant)(?=\.)", r"\1", field)  # the type is no level of its own
        return refuse(400, first["msg"].removeprefix("Value error, "), field or "body")

    @app.exception_handler(FieldError)
    async def refuse_field(_: Request, error: FieldError) -> JSONResponse:
        return refuse(error.status, str(error), error.field)

    @app.exception_handler(QueueFull)
    async def refuse_for_now(_: Request, error: QueueFull) -> JSONResponse:
        return refuse(429, str(error), headers={"Retry-After": str(error.retry_after)})

    @app.exception_handler(TimeoutError)
    async def refuse_late(_: Request, error: TimeoutError) -> JSONResponse:
        message = f"The answer took longer than {engine.limits.seconds:g} seconds. Ask for fewer tokens."
        # The client of OpenAI would try again at once.
        return refuse(408, message, headers={"x-should-retry": "false"})

    @app.exception_handler(ModelFailed)
    async def report_failure(_: Request, error: ModelFailed) -> JSONResponse:
        return refuse(500, str(error))

    @app.exception_handler(HTTPException)
    async def refuse_request(_: Request, error: HTTPException) -> JSONResponse:
        field = "body" if "parsing the body" in error.detail else None
        return refuse(error.status_code, error.detail, field, error.headers)

    return app


async def start(engine: Engine, question: Question) -> AsyncIterator[Answer]:
    """Put a question in the queue, or raise that it is full."""
    answers = engine.ask(question)
    await anext(answers)
    return answers


async def finish(answers: AsyncIterator[Answer], request: Request) -> Answer:
    """Wait for the whole answer, as long as the client does."""

    async def last() -> Answer:
        return [answer async for answer in answers][-1]

    async def leave() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    answering, leaving = asyncio.create_task(last()), asyncio.create_task(leave())
    try:
        await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            raise HTTPException(499, "The client has left.")
        return answering.result()
    finally:
        answering.cancel()
        leaving.cancel()


def refuse(status: int, message: str, field: str | None = None, headers: dict | None = None) -> JSONResponse:
    """An error as OpenAI words it."""
    kind = ERROR_TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    message = f"{field}: {message}" if field else message
    error = {"message": message, "type": kind, "param": field, "code": None}
    return JSONResponse({"error": error, "notice": NOTICE}, status, headers)


class Guard:
    """Bounds the body and how long it takes, and keeps what was asked out of the log when something fails."""

    def __init__(self, app: ASGIApp, limits: Limits):
        self.app, self.limits = app, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        size, whole, started = 0, False, False
        deadline = asyncio.get_running_loop().time() + self.limits.seconds

        async def receive_some() -> Message:
            nonlocal size, whole
            try:
                # Behind the body comes only that the client leaves.
                async with asyncio.timeout_at(None if whole else deadline):
                    message = await receive()
                    size += len(message.get("body", b""))
                    if size > self.limits.body_bytes:
                        # Read a while and forget: a client that is still sending would miss the answer.
                        while message.get("more_body") and size < 16 * self.limits.body_bytes:
                            message = await receive()
                            size += len(message.get("body", b""))
                        raise HTTPException(413, f"body: at most {self.limits.body_bytes} bytes are taken.", CLOSE)
            except TimeoutError as error:
                message = f"body: it took longer than {self.limits.seconds:g} seconds to arrive."
                raise HTTPException(408, message, CLOSE) from error
            whole = not message.get("more_body", False)
            return message

        async def send_on(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive_some, send_on)
        except Exception as error:
            # Without its message, which could hold what was asked.
            where = "".join(traceback.format_tb(error.__traceback__))
            logger.error(f"A request failed with {type(error).__name__}:\n{where}")
            if not started:
                await refuse(500, "Something failed here; the log of the service says where.")(scope, receive, send)


__all__ = ["create_app"]
