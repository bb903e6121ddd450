"""The service, put together."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.staticfiles import StaticFiles

from textgenome.serving.engine import Engine
from textgenome.serving.errors import HANDLERS
from textgenome.serving.guard import Callers, Guard
from textgenome.serving.openapi import describe
from textgenome.serving.responses import NOTICE
from textgenome.serving.routes import PAGE, Service, public, router


def create_app(
    engine: Engine,
    model_name: str,
    api_key: str | None = None,
    callers: Callers | None = None,
    fasta: Path | None = None,
) -> FastAPI:
    """The service around an engine.

    Args:
        engine: Answers the questions; its model may be loaded later.
        model_name: What clients call the model.
        api_key: What they must send as bearer token, if anything.
        callers: Who may ask; by default who is on this machine.
        fasta: The genome of VCF files that may come, if any may.

    Raises:
        ValueError: If the key is one that no client could send.
    """
    if api_key is not None:
        check_api_key(api_key)
    callers = callers or Callers("127.0.0.1")

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        running = asyncio.create_task(engine.run())
        yield
        running.cancel()

    app = FastAPI(
        title="textgenome",
        description=f"A language model that reads DNA. {NOTICE}",
        lifespan=lifespan,
        exception_handlers=HANDLERS,
        docs_url=None,  # the interactive pages would be loaded from elsewhere
        redoc_url=None,
    )
    app.state.service = Service(engine, model_name, api_key, fasta)
    app.openapi = partial(describe, app)
    if callers.allow_origins:
        origins = list(callers.allow_origins)
        app.add_middleware(CORSMiddleware, allow_origins=origins, allow_methods=["*"], allow_headers=["*"])
    app.add_middleware(Guard, callers=callers, metrics=engine.metrics)
    app.include_router(public)
    app.include_router(router)
    app.mount("/page", StaticFiles(directory=PAGE))
    return app


def check_api_key(key: str) -> None:
    """Check that a key can be sent in a header, and that it is one.

    Raises:
        ValueError: If it is empty, or holds what a header loses.
    """
    if not key:
        raise ValueError("The key (--api_key, TEXTGENOME_API_KEY) is empty: give one, or none at all.")
    if key != key.strip() or not key.isprintable():
        raise ValueError(
            "The key (--api_key, TEXTGENOME_API_KEY) starts or ends with white space or holds a control character, "
            "such as the end of a line: no client could send it."
        )


__all__ = ["create_app"]
