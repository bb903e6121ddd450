import asyncio
import errno
import logging
import resource
import socket
from contextlib import ExitStack

import pytest
import requests
from live_service import serving

from textgenome.serving import connections
from textgenome.serving.connections import Seldom, allowed_connections, tell_exhaustion
from textgenome.serving.limits import Limits


def connect(service) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(service.url.rpartition(":")[2])), timeout=20)


def is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(100) == b""
    except ConnectionResetError:
        return True


def test_one_client_too_many_is_told_so(tiny_model, tiny_processor, monkeypatch):
    monkeypatch.setattr(connections, "REFUSED_SECONDS", 0.2)
    with serving(tiny_model, tiny_processor, Limits(connections=3)) as service, ExitStack() as stack:
        first = [stack.enter_context(connect(service)) for _ in range(3)]
        refused = requests.get(f"{service.url}/health")
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        assert refused.headers["Connection"] == "close"
        assert refused.json()["error"]["message"] == "More than 3 clients are connected."
        assert is_closed(stack.enter_context(connect(service)))  # it says nothing, and is not waited for
        more = [stack.enter_context(connect(service)) for _ in range(20)]
        assert all(map(is_closed, more))
        for connection in first:
            connection.close()
        service.wait_until(lambda: requests.get(f"{service.url}/health").status_code == 200)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"GET /health HTTP/1.1\r\nHost: ",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET",  # after its first request
        b"POST /none HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{",  # answered before it is whole
    ],
)
def test_a_client_that_says_nothing_is_not_waited_for(tiny_model, tiny_processor, monkeypatch, said):
    monkeypatch.setattr(connections, "SILENT_SECONDS", 0.5)
    with serving(tiny_model, tiny_processor) as service, connect(service) as connection:
        connection.sendall(said)
        answers = [b""]
        while answers.append(connection.recv(10_000)) or answers[-1]:
            pass
        assert b"".join(answers).count(b"HTTP/1.1") == (b"\r\n\r\n" in said)


def test_a_client_that_is_answered_is_not_silent(tiny_model, tiny_processor, monkeypatch):
    monkeypatch.setattr(connections, "SILENT_SECONDS", 0.2)
    body = {"reference_sequence": "ACGT", "variant_sequence": "ACTT", "question": "What?", "max_length": 60}
    with serving(tiny_model, tiny_processor) as service, requests.Session() as session:
        for _ in range(2):
            answer = session.post(f"{service.url}/predict", json=body)
            assert answer.json()["processing_time"] > 0.02


def test_warnings_of_a_kind_are_one_line(monkeypatch):
    now, lines = [0.0], []
    monkeypatch.setattr(connections.time, "monotonic", lambda: now[0])
    logger, handler = logging.Logger("test"), logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    handler.addFilter(Seldom())
    logger.addHandler(handler)
    for i in range(1000):
        logger.warning("Invalid HTTP request received.")
        logger.info("question %d", i)
    logger.warning("Something else.")
    now[0] = 61
    logger.warning("Invalid HTTP request received.")
    warnings = [line for line in lines if not line.startswith("question")]
    assert len(lines) - len(warnings) == 1000
    assert warnings[:2] == ["Invalid HTTP request received.", "Something else."]


def test_a_kind_that_comes_again_says_how_often(monkeypatch):
    now, lines = [0.0], []
    monkeypatch.setattr(connections.time, "monotonic", lambda: now[0])
    kept = Seldom()
    for seconds in (0, 1, 2, 61):
        now[0] = seconds
        record = logging.LogRecord("test", logging.WARNING, __file__, 1, "%s failed.", ("It",), None)
        if kept.filter(record):
            lines.append(record.getMessage())
    assert lines == ["It failed.", "It failed. (2 times more since the last such line)"]


def test_want_of_descriptors_is_one_line(caplog):
    loop = asyncio.new_event_loop()
    try:
        error = OSError(errno.EMFILE, "Too many open files")
        tell_exhaustion(loop, {"message": "socket.accept() out of system resource", "exception": error})
        [record] = caplog.records
        assert "ulimit -n" in record.getMessage() and record.exc_info is None
        tell_exhaustion(loop, {"message": "something else"})
        assert "something else" in caplog.text
    finally:
        loop.close()


@pytest.mark.parametrize(
    "soft, hard, allowed, soft_after",
    [
        (1024, 4096, 256, 1024),
        (64, 4096, 256, 1024),
        (64, 400, 100, 400),
        (2, 2, 1, 2),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, 256, resource.RLIM_INFINITY),
        (64, resource.RLIM_INFINITY, 256, 1024),
    ],
)
def test_connections_are_as_many_as_descriptors_allow(monkeypatch, caplog, soft, hard, allowed, soft_after):
    limits = [soft, hard]
    monkeypatch.setattr(resource, "getrlimit", lambda _: tuple(limits))
    monkeypatch.setattr(resource, "setrlimit", lambda _, given: limits.__setitem__(slice(None), given))
    assert allowed_connections(256) == allowed
    assert limits == [soft_after, hard]
    assert ("clients are connected at once" in caplog.text) == (allowed < 256)
