"""Connections: how many there may be, how long one may be silent, and what is logged where there are too many."""

import asyncio
import errno
import logging
import time

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from textgenome.serving.errors import refuse


SILENT_SECONDS = 10  # how long a client may take to say what it wants
REFUSED_SECONDS = 1  # the same for one too many
LOGGED_SECONDS = 60  # how long warnings of one kind are left out after one is logged

logger = logging.getLogger(__name__)


class BoundedProtocol(H11Protocol):
    """HTTP for so many clients at once: one too many is told so, and one that says nothing is left.

    Args:
        most: Connections at once.
    """

    def __init__(self, *args, most: int, **kwargs):
        super().__init__(*args, **kwargs)
        self.most, self.patience = most, SILENT_SECONDS
        self._silence: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        if len(self.connections) > 2 * self.most:
            return transport.abort()
        if len(self.connections) > self.most:
            message = f"More than {self.most} clients are connected."
            self.app = refuse(503, message, headers={"Retry-After": "1", "Connection": "close"})
            self.patience = REFUSED_SECONDS
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_watching()

    def _watch(self) -> None:
        """See to it that a client that has no request running sends a whole one soon."""
        if self._is_asking():
            self._stop_watching()
        elif self._silence is None:
            self._silence = self.loop.call_later(self.patience, self._leave)

    def _is_asking(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _stop_watching(self) -> None:
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None

    def _leave(self) -> None:
        self._silence = None
        if not self._is_asking():
            self.transport.close()


class Seldom(logging.Filter):
    """Lets one warning of a kind through in a while, and says in the next how many were left out."""

    def __init__(self):
        super().__init__()
        self._seen: dict[tuple, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        kind = record.name, record.lineno, record.getMessage().partition("\n")[0]
        last, left_out = self._seen.get(kind, (-LOGGED_SECONDS, 0))
        now = time.monotonic()
        if now - last < LOGGED_SECONDS:
            self._seen[kind] = last, left_out + 1
            return False
        self._seen[kind] = now, 0
        if left_out:
            record.msg, record.args = f"{record.getMessage()} ({left_out} times more since the last such line)", ()
        return True


def tell_exhaustion(loop: asyncio.AbstractEventLoop, context: dict) -> None:
    """Say in one line that a connection was not accepted for want of descriptors; the loop tries again by itself."""
    error = context.get("exception")
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        logger.warning("No descriptor is left for another connection: raise `ulimit -n` or lower --max_connections.")
    else:
        loop.default_exception_handler(context)


def allowed_connections(wanted: int) -> int:
    """As many connections as the descriptors of this process are enough for, at most as many as are wanted.

    A quarter of the descriptors are for clients: as many may be refused at the same time, or not accepted yet.
    """
    try:
        import resource
    except ModuleNotFoundError:  # Windows sets no such limit
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft != unlimited and soft < 4 * wanted:
        soft = 4 * wanted if hard == unlimited else min(hard, 4 * wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == unlimited or soft >= 4 * wanted:
        return wanted
    allowed = max(1, soft // 4)
    logger.warning(f"This process may open {soft} files: at most {allowed} clients are connected at once.")
    return allowed


def server_of(app, connections: int, **options) -> uvicorn.Server:
    """A server of an app for so many connections. Paths may hold anything, so none are logged."""

    def protocol(*args, **kwargs) -> BoundedProtocol:
        return BoundedProtocol(*args, most=connections, **kwargs)

    options = {"access_log": False, "log_config": None, "ws": "none", "backlog": connections, **options}
    return uvicorn.Server(uvicorn.Config(app, http=protocol, **options))


__all__ = ["Seldom", "allowed_connections", "server_of", "tell_exhaustion"]
