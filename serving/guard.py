"""Who may ask: checked before anything of a request is read."""

import ipaddress
import re
import time
import traceback
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from transformers.utils import logging

from textgenome.serving.errors import refuse
from textgenome.serving.metrics import Metrics


logger = logging.get_logger(__name__)

LOOPBACK = ("localhost", "127.0.0.1", "::1")
HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^][:/@\s]+)(:\d+)?", re.IGNORECASE)
ORIGIN = re.compile(r"https?://[^][:/@\s]+(:\d+)?|https?://\[[0-9a-f:.]+\](:\d+)?|\*", re.IGNORECASE)


class Callers:
    """Under which names the service may be called, and pages of which sites may call it.

    A page of another site can have its own name resolve to this machine (DNS rebinding), and then reads answers as if
    they were its own: what it cannot change is that its name is in `Host`.

    Args:
        host: Address that the service listens on. On all of them (`0.0.0.0`, `::`), any address is a name of it.
        allow_hosts: Other names of it.
        allow_origins: Other sites, such as `https://lab.example`; `*` for all.

    Raises:
        ValueError: If a name or a site is malformed.
    """

    def __init__(self, host: str, allow_hosts: tuple[str, ...] = (), allow_origins: tuple[str, ...] = ()):
        for name in allow_hosts:
            if _name_of(name) != name.lower():
                raise ValueError(f"--allow_host {name}: give a name or an address alone, such as dna.example.")
        for origin in allow_origins:
            if not ORIGIN.fullmatch(origin):
                raise ValueError(f"--allow_origin {origin}: give scheme and name alone, such as https://lab.example.")
        self.allow_hosts = frozenset(map(str.lower, allow_hosts))
        self.allow_origins = frozenset(map(str.lower, allow_origins))
        self._names = self.allow_hosts | {host.lower()}
        address = _as_address(host)
        self._any_address = host == "" or (address is not None and address.is_unspecified)
        if self._any_address or host == "localhost" or (address is not None and address.is_loopback):
            self._names |= set(LOOPBACK)

    def knows_host(self, host: str | None) -> bool:
        """Whether a `Host` names this service. Every browser sends one."""
        if host is None:
            return True
        name = _name_of(host)
        return name in self._names or (self._any_address and name is not None and _as_address(name) is not None)

    def knows_origin(self, origin: str | None, host: str | None) -> bool:
        """Whether a page may ask: one of ours, or one of a site that is allowed."""
        if origin is None or not self.allow_origins.isdisjoint((origin.lower(), "*")):
            return True
        place = urlsplit(origin.lower()).netloc
        # A proxy may have put a name of its own into Host.
        return bool(place) and (place == (host or "").lower() or _name_of(place) in self.allow_hosts)


def _name_of(host: str) -> str | None:
    """The name or address in a `Host`, without its port, or None where it is malformed."""
    found = HOST.fullmatch(host)
    return found and found[1].lower().strip("[]")


def _as_address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


class Guard:
    """Refuses callers that are not known, counts requests, and keeps what was asked out of the log of a failure."""

    def __init__(self, app: ASGIApp, callers: Callers, metrics: Metrics):
        self.app, self.callers, self.metrics = app, callers, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        started, status, head = time.monotonic(), None, scope["method"] == "HEAD"
        # What can be got has a head; the server leaves the body out.
        scope = {**scope, "method": "GET"} if head else scope

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send({**message, "body": b""} if head and "body" in message else message)

        try:
            await (self._refuse(scope) or self.app)(scope, receive, send_on)
        except Exception as error:
            # Without its message, which could hold what was asked.
            where = "".join(traceback.format_tb(error.__traceback__))
            logger.error(f"A request failed with {type(error).__name__}:\n{where}")
            if status is None:
                failed = refuse(500, "Something failed here; the log of the service says where.")
                await failed(scope, receive, send_on)
        finally:
            path = getattr(scope.get("route"), "path", "other")
            self.metrics.count_request(path, status or 500, time.monotonic() - started)

    def _refuse(self, scope: Scope) -> ASGIApp | None:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host, origin = headers.get(b"host"), headers.get(b"origin")
        if not self.callers.knows_host(host):
            return refuse(421, "This service does not go by that name: start it with --allow_host NAME.", "Host")
        if not self.callers.knows_origin(origin, host):
            message = "Pages of this site may not ask: start the service with --allow_origin https://SITE."
            return refuse(403, message, "Origin")
        return None


__all__ = ["Callers", "Guard"]
