"""A service in a process of its own."""

import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import requests
from conftest import TINY_CHECKPOINT


@contextmanager
def start(log: Path, *options: str, **process_options):
    """A service as a stranger starts it: process, address and log."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "textgenome.commands", "serve", str(TINY_CHECKPOINT), "--port", str(port), *options]
    with log.open("w") as file, subprocess.Popen(words, stdout=file, stderr=file, **process_options) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            for _ in range(600):
                try:
                    if requests.get(f"{url}/health").ok:
                        break
                except requests.exceptions.ConnectionError:
                    pass
                assert process.poll() is None, log.read_text()
                time.sleep(0.1)
            yield process, url, log
        finally:
            process.kill()
