import json
import os
import signal
import subprocess
import sys
import time

import pytest

from textgenome.data import locks
from textgenome.data.locks import locked


# By the file alone: the package takes long to import.
HOLD = """
import runpy, sys, time
from pathlib import Path
locked = runpy.run_path(sys.argv[3])["locked"]
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    if sys.argv[2] == "fork":
        import os
        os.fork()
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Starts a process that holds the lock of `tmp_path / "out"`."""
    processes = []

    def start(how: str = "alone") -> subprocess.Popen:
        # In a group of its own, to be ended with what it starts.
        command = [sys.executable, "-c", HOLD, str(tmp_path / "out"), how, locks.__file__]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True))
        assert processes[-1].stdout.readline() == "held\n"
        return processes[-1]

    yield start
    for process in processes:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()


def test_a_second_process_is_refused_and_told_who_writes(holder, tmp_path):
    process = holder()
    with pytest.raises(OSError, match=f"out: process {process.pid} on .* writes to it. Wait for it"):
        with locked(tmp_path / "out"):
            pass
    assert (tmp_path / "out" / ".lock").exists()


def test_the_lock_of_a_killed_process_is_taken_over(holder, tmp_path):
    process = holder()
    process.kill()
    process.wait()
    assert (tmp_path / "out" / ".lock").exists()
    with locked(tmp_path / "out"):
        assert json.loads((tmp_path / "out" / ".lock").read_text())["pid"] == os.getpid()
    assert not (tmp_path / "out" / ".lock").exists()


def test_workers_that_outlive_a_killed_process_are_waited_for(holder, tmp_path):
    process = holder("fork")
    time.sleep(0.2)
    process.kill()
    process.wait()
    started = time.monotonic()
    killer = subprocess.Popen(["sh", "-c", f"sleep 1; kill -9 -{process.pid}"], start_new_session=True)
    with locked(tmp_path / "out"):
        assert time.monotonic() - started > 0.5
    killer.wait()


@pytest.mark.parametrize("job, job_now, taken", [(None, None, False), ("7", "8", False), ("7", "7", True)])
def test_of_another_machine_only_the_same_job_goes_on(tmp_path, monkeypatch, job, job_now, taken):
    (tmp_path / ".lock").write_text(json.dumps({"pid": 1, "host": "elsewhere", "job": job}))
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    if job_now:
        monkeypatch.setenv("SLURM_JOB_ID", job_now)
    if taken:
        with locked(tmp_path):
            pass
        return
    with pytest.raises(OSError, match=r"process 1 on elsewhere .* If that process has ended, remove .*\.lock"):
        with locked(tmp_path):
            pass


def test_where_the_file_system_has_no_locks_the_process_counts(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", flock)
    with locked(tmp_path / "out"):
        with pytest.raises(OSError, match=f"process {os.getpid()} "):
            with locked(tmp_path / "out"):
                pass
    ended = subprocess.Popen(["true"])
    ended.wait()
    (tmp_path / ".lock").write_text(json.dumps({"pid": ended.pid, "host": os.uname().nodename, "job": None}))
    with locked(tmp_path):
        pass


@pytest.mark.parametrize("makes_anew", [False, True])
def test_a_folder_that_is_removed_meanwhile_is_said(tmp_path, makes_anew):
    with pytest.raises(OSError, match="out was removed while this process wrote to it"):
        with locked(tmp_path / "out") as lock:
            lock.check()
            (tmp_path / "out" / ".lock").unlink()
            (tmp_path / "out").rmdir()
            if makes_anew:
                (tmp_path / "out").mkdir()
            with pytest.raises(OSError, match="was removed"):
                lock.check()


def test_a_new_folder_that_stays_empty_goes_and_another_stays(tmp_path):
    with locked(tmp_path / "new"):
        pass
    assert not (tmp_path / "new").exists()
    (tmp_path / "old").mkdir()
    with locked(tmp_path / "old"):
        pass
    assert (tmp_path / "old").exists()


def test_on_windows_the_file_decides(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "fcntl", None)
    monkeypatch.setattr(locks, "SECONDS_TO_END", 0)
    with locked(tmp_path / "out"):
        with pytest.raises(OSError, match=r"If that process has ended, remove .*\.lock"), locked(tmp_path / "out"):
            pass
    assert not (tmp_path / "out").exists()
