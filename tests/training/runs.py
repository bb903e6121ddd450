"""What the tests of both training scripts share: quick settings, logs, and runs that are ended and go on."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from conftest import ROOT
from safetensors.torch import load_file

from textgenome.training.resuming import last_checkpoint


QUICK = {
    "use_cpu": True,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 1,
    "max_steps": 2,
    "logging_steps": 1,
    "save_strategy": "no",
    "disable_tqdm": True,
}
# Of runs that are ended.
LONG = {"max_steps": 40, "save_strategy": "steps", "save_steps": 10, "disable_tqdm": False, "seed": 3}


def as_flags(settings: dict) -> list[str]:
    lists = {name: value if isinstance(value, list) else [value] for name, value in settings.items()}
    return [part for name, values in lists.items() if values != [None] for part in (f"--{name}", *map(str, values))]


def log_of(output_dir: Path) -> list[dict]:
    return json.loads((output_dir / "trainer_state.json").read_text())["log_history"]


def write_rows(folder: Path, **splits: list[dict]) -> Path:
    """A folder with a table for each split."""
    folder.mkdir()
    for name, rows in splits.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def start(script: str, flags: list[str], folder: Path) -> subprocess.Popen:
    """A process that trains, started from a folder."""
    command = [sys.executable, str(ROOT / script), *flags]
    return subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True, env={**os.environ})


def end(run: subprocess.Popen, out: Path, how: signal.Signals) -> int:
    """End a run behind step 10 of 40. Returns the step of the last checkpoint that it left."""
    while not ((out / "checkpoint-10" / "trainer_state.json").exists() and last_checkpoint(out)):
        assert run.poll() is None, run.stderr.read()
        time.sleep(0.001)
    run.send_signal(how)
    assert run.wait(60) == (-signal.SIGKILL if how == signal.SIGKILL else 128 + signal.SIGTERM)
    assert not list(out.glob("*model.safetensors"))
    step = int(last_checkpoint(out).rpartition("-")[2])
    assert step < 40
    return step


def assert_resumes_to_the_same_weights(start: Callable[[Path], subprocess.Popen], folder: Path, how) -> int:
    """End a run, start it again, and compare it with one that was not ended.

    Returns:
        The step of the last checkpoint of the run that was ended.
    """
    whole = start(folder / "whole")
    assert whole.wait(120) == 0, whole.stderr.read()
    step = end(start(folder / "ended"), folder / "ended", how)
    # What a kill in the middle of saving leaves behind.
    (folder / "ended" / "checkpoint-39").mkdir(exist_ok=True)
    resumed = start(folder / "ended")
    assert resumed.wait(120) == 0, resumed.stderr.read()
    steps = [entry["step"] for entry in log_of(folder / "ended" / "checkpoint-40") if "loss" in entry]
    assert steps == list(range(1, 41))
    (path,) = (folder / "whole").glob("*model.safetensors")
    weights = [load_file(folder / run / path.name) for run in ("whole", "ended")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    return step
