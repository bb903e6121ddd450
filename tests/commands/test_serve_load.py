"""What many or large requests do to a service: memory, time and log."""

import json
import resource
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import psutil
import pytest
import requests
from conftest import random_dna
from malformed import CHAT, PREDICT, ROW, TEXT, chat
from service_process import start


pytestmark = pytest.mark.slow
HEADERS = {"Content-Type": "application/json"}


def dna(letters: str) -> bytes:
    """Four sequences that no model here reads."""
    return json.dumps(chat(*[{"type": "dna", "dna": letters}] * 4, TEXT)).encode()


BODIES = {
    "dna": dna(random_dna(990_000)),
    "dna in lower case": dna(random_dna(990_000).lower()),
    "dna with spaces": dna(" ".join(random_dna(495_000))),
    "text": json.dumps(chat({"type": "text", "text": "What? " * 660_000})).encode(),
    "blocks": json.dumps({"messages": chat(*[{"type": "text", "text": "x"}] * 130)["messages"] * 900}).encode(),
    "messages": json.dumps({"messages": chat(TEXT)["messages"] * 50_000}).encode(),
    "labels": b'{"labels": [' + b'"a",' * 990_000 + b'"a"]}',
}


@contextmanager
def asking_beside(url: str):
    """One who asks small questions all the time: a list of the seconds that each took."""
    waits, over = [], threading.Event()

    def ask() -> None:
        while not over.is_set():
            started = time.monotonic()
            assert requests.post(url + PREDICT, json={**ROW, "max_length": 3}).status_code == 200
            waits.append(time.monotonic() - started)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield waits
    finally:
        over.set()
        asking.join()


def test_large_requests_leave_memory_and_room_for_small_ones(tmp_path):
    with start(tmp_path / "log") as (process, url, _):
        memory = psutil.Process(process.pid).memory_info
        for _ in range(3):
            requests.post(url + PREDICT, json={**ROW, "max_length": 3})
        before = memory().rss
        for kind, body in BODIES.items():
            with asking_beside(url) as waits, ThreadPoolExecutor(12) as pool:
                started = time.monotonic()
                asked = [pool.submit(requests.post, url + CHAT, data=body, headers=HEADERS) for _ in range(12)]
                statuses = {each.result().status_code for each in asked}
                seconds, during = time.monotonic() - started, memory().rss
            described = f"{kind}: {statuses}, {seconds:.1f} s, {during / before:.2f} of the memory, {max(waits):.1f} s"
            assert statuses <= {400, 429} and 400 in statuses, described
            assert max(waits) < 2, described
            assert memory().rss < 1.2 * before, described


def test_descriptors_that_run_out_do_not_flood_the_log(tmp_path):
    few = 48

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (few, few))

    with start(tmp_path / "log", preexec_fn=limit) as (process, url, log), ExitStack() as stack:
        address = ("127.0.0.1", int(url.rpartition(":")[2]))
        for _ in range(3 * few):
            connection = stack.enter_context(socket.socket())
            connection.setblocking(False)
            connection.connect_ex(address)
        time.sleep(3)
        assert process.poll() is None
        stack.close()
        end = time.monotonic() + 20
        while time.monotonic() < end and not is_up(url):
            time.sleep(0.1)
        assert is_up(url)
        assert len(log.read_text().splitlines()) < 20, log.read_text()
        assert "Traceback" not in log.read_text()


def is_up(url: str) -> bool:
    try:
        return requests.get(f"{url}/health", timeout=5).ok
    except requests.RequestException:
        return False


def test_a_client_that_never_finishes_does_not_hold_up_a_stop(tmp_path):
    with start(tmp_path / "log", "--max_seconds", "2") as (process, url, _):
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as asking:
            head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            asking.sendall(head + b"Content-Length: 9\r\n\r\n{")
            time.sleep(0.5)
            process.send_signal(signal.SIGTERM)
            process.wait(20)
            assert b" 408 " in asking.recv(1000)
