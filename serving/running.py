"""Running the service: it listens from the start, and answers once its model is loaded."""

import asyncio
import logging
import math
import socket
from pathlib import Path

import uvicorn

from textgenome.inference.checkpoints import pin_revision
from textgenome.serving.app import create_app
from textgenome.serving.engine import Engine
from textgenome.serving.limits import Limits


def run_service(
    model: str,
    limits: Limits,
    host: str = "127.0.0.1",
    port: int = 8000,
    revision: str = "main",
    dtype: str = "auto",
    api_key: str | None = None,
    allow_origins: tuple[str, ...] = (),
) -> None:
    """Answer questions over HTTP until the process is told to stop.

    Args:
        model: Folder or Hub id of a fused model, or folder of an adapter.
        limits: What the service takes on.
        host: Address to listen on.
        port: 0 takes a free one.
        revision: Of a model on the Hub.
        dtype: Of the weights.
        api_key: What clients must send as bearer token, if anything.
        allow_origins: Other sites whose pages may ask.

    Raises:
        OSError: If there is no such model, or the port cannot be listened on.
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    logger = logging.getLogger("textgenome")
    logger.setLevel(logging.INFO)
    revision = pin_revision(model, revision)
    engine = Engine(limits)
    name = Path(model).resolve().name if Path(model).exists() else model
    app = create_app(engine, name, api_key, allow_origins)
    check_port(host, port)
    # Paths may hold anything, so none are logged. A stop waits as long as a request may take, not for clients that
    # do not read.
    stop = math.ceil(limits.seconds)
    server = uvicorn.Server(uvicorn.Config(app, host, port, access_log=False, timeout_graceful_shutdown=stop))

    async def run() -> None:
        serving = asyncio.create_task(server.serve())
        try:
            await engine.load(model, revision, dtype)
            logger.info(f"{name} is loaded, on {engine.model.device}")
        finally:
            server.should_exit = server.should_exit or not engine.ready
            await serving

    asyncio.run(run())


def check_port(host: str, port: int) -> None:
    """Check that a service can listen there.

    Raises:
        OSError: If it cannot.
    """
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            pass
    except OSError as error:
        message = f"Cannot listen on port {port} of {host}: {error.strerror}. Name another --port or --host."
        raise OSError(message) from error


__all__ = ["check_port", "run_service"]
