"""A lock on a folder or file that is written to: two processes at once would mix what they write."""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EACCES, EAGAIN
from pathlib import Path


try:
    import fcntl
except ModuleNotFoundError:  # Windows: what the file says decides
    fcntl = None


SECONDS_TO_END = 10.0  # in which the workers of a killed process end, who hold its lock, too


class Lock:
    """A file that names the process, the machine and, under SLURM, the job that writes to a place.

    The kernel frees the lock of a process of this machine that ends, however it ends. Whether one on another machine
    still runs cannot be told from here; but SLURM never runs a job twice at a time.

    Args:
        place: What is locked, for messages.
        file: The file that tells so.

    Raises:
        OSError: If another process holds it. The message names that process.
    """

    def __init__(self, place: Path, file: Path):
        self.place, self.file = place, file
        self.owner = {"pid": os.getpid(), "host": socket.gethostname(), "job": os.environ.get("SLURM_JOB_ID")}
        deadline = time.monotonic() + SECONDS_TO_END
        while (holder := self._take()) is not None:
            if self._may_run(holder) or time.monotonic() > deadline:
                who = f"process {holder['pid']} on {holder['host']}" if holder else "another process"
                remedy = "" if self._is_here(holder) and fcntl else f" If that process has ended, remove {file}."
                raise OSError(f"{place}: {who} writes to it. Wait for it, or name another place.{remedy}")
            time.sleep(0.1)
        os.ftruncate(self.descriptor, 0)
        os.lseek(self.descriptor, 0, os.SEEK_SET)
        os.write(self.descriptor, json.dumps(self.owner).encode())

    def _take(self) -> dict | None:
        """Take the lock, or tell what is known of its holder."""
        self.descriptor = os.open(self.file, os.O_RDWR | os.O_CREAT, 0o666)
        alone = None
        try:
            if fcntl is not None:
                fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                alone = True
        except OSError as error:
            # There are file systems without locks. On these it counts whether the process that is named runs.
            alone = False if error.errno in (EACCES, EAGAIN) else None
        holder = self._read()
        ended = not self._may_run(holder) or (alone and self._is_here(holder))
        same_job = holder.get("job") is not None and holder["job"] == self.owner["job"]
        if alone is not False and (ended or same_job) and self.is_held():
            return None
        os.close(self.descriptor)
        return holder

    def _read(self) -> dict:
        try:
            holder = json.loads(os.read(self.descriptor, 4096))
            return holder if {"pid", "host"} <= holder.keys() else {}
        except (ValueError, AttributeError):
            return {}

    def _is_here(self, holder: dict) -> bool:
        return holder.get("host", self.owner["host"]) == self.owner["host"]

    def _may_run(self, holder: dict) -> bool:
        if not holder or not self._is_here(holder):
            return bool(holder)
        if fcntl is None:
            return True  # on Windows to ask a process is to end it
        try:
            os.kill(holder["pid"], 0)
        except ProcessLookupError:
            return False
        except OSError:
            pass  # it is another user's
        return True

    def is_held(self) -> bool:
        """Whether the file is still that of this lock, neither removed nor made anew."""
        try:
            return os.path.samestat(os.fstat(self.descriptor), os.stat(self.file))
        except OSError:
            return False

    def check(self) -> None:
        """Raise OSError if the place was removed: what is written now would lie there without the rest."""
        if not self.is_held():
            raise OSError(f"{self.place} was removed while this process wrote to it: its results are lost.")

    def release(self) -> None:
        is_held = self.is_held()
        if is_held and fcntl is not None:
            self.file.unlink()  # while the kernel keeps others off
        os.close(self.descriptor)
        if is_held and fcntl is None:
            self.file.unlink()


@contextmanager
def locked(folder: Path) -> Iterator[Lock]:
    """Keep a folder to this process, and make it if it is not there; left empty it is removed again.

    Raises:
        OSError: If another process writes to it, or if it was removed when all was written.
    """
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    lock = Lock(folder, folder / ".lock")
    try:
        yield lock
        lock.check()
    finally:
        lock.release()
        if is_new:
            with suppress(OSError):
                folder.rmdir()


__all__ = ["Lock", "locked"]
