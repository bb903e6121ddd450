"""Running the service: it listens from the start, and answers once its model is loaded."""

import asyncio
import logging
import math
import socket
from pathlib import Path

from textgenome.genome.fasta import open_fasta
from textgenome.inference.checkpoints import pin_revision
from textgenome.serving.app import create_app
from textgenome.serving.connections import Seldom, allowed_connections, server_of, tell_exhaustion
from textgenome.serving.engine import Engine
from textgenome.serving.guard import Callers
from textgenome.serving.limits import Limits


logger = logging.getLogger(__name__)


def run_service(
    model: str,
    limits: Limits,
    host: str = "127.0.0.1",
    port: int = 8000,
    revision: str = "main",
    dtype: str = "auto",
    api_key: str | None = None,
    allow_hosts: tuple[str, ...] = (),
    allow_origins: tuple[str, ...] = (),
    fasta: Path | None = None,
) -> None:
    """Answer questions over HTTP until the process is told to stop.

    Args:
        model: Folder or Hub id of a fused model or one with a head, or folder of an adapter.
        limits: What the service takes on.
        host: Address to listen on.
        port: 0 takes a free one.
        revision: Of a model on the Hub.
        dtype: Of the weights.
        api_key: What clients must send as bearer token, if anything.
        allow_hosts: Other names of the service, see `Callers`.
        allow_origins: Other sites whose pages may ask.
        fasta: The genome of VCF files that may come, if any may; its index is written where it is missing.

    Raises:
        OSError: If there is no such model, or the port cannot be listened on.
        ValueError: If the key, a name or a site is malformed.
    """
    log_to_terminal()
    engine = Engine(limits)
    name = Path(model).resolve().name if Path(model).exists() else model
    if fasta is not None:
        open_fasta(fasta).close()
    app = create_app(engine, name, api_key, Callers(host, allow_hosts, allow_origins), fasta)
    revision = pin_revision(model, revision)
    check_port(host, port)
    # A stop waits as long as a request may take, not for clients that do not read.
    stop = math.ceil(limits.seconds)
    connections = allowed_connections(limits.connections)
    server = server_of(app, connections, host=host, port=port, timeout_graceful_shutdown=stop)

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(tell_exhaustion)
        serving = asyncio.create_task(server.serve())
        try:
            await engine.load(model, revision, dtype)
            logger.info(f"{name} is loaded, on {engine.model.device}")
        finally:
            server.should_exit = server.should_exit or not engine.ready
            await serving

    asyncio.run(run())


def log_to_terminal() -> None:
    """Log to the terminal; what goes wrong a thousand times in a minute is one line."""
    handler = logging.StreamHandler()
    handler.addFilter(Seldom())
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", handlers=[handler])
    for name in ("textgenome", "uvicorn"):
        logging.getLogger(name).setLevel(logging.INFO)


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
