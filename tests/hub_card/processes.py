"""Commands and trainings in processes of their own, which reach the Hub of a test."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from conftest import ROOT


@dataclass
class Outcome:
    exit_code: int
    output: str

    @property
    def commit(self) -> str:
        return re.search(r"at (\w{40}):", self.output)[1]


@contextmanager
def running_commands(hub, home: Path) -> Iterator[Callable[..., Outcome]]:
    """Run commands in one process: importing takes most of their time."""
    script = Path(__file__).with_name("run_commands.py")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    environment = {**os.environ, **hub.env, "HF_HOME": str(home)}
    with subprocess.Popen([sys.executable, script], env=environment, **pipes) as process:

        def command(*arguments, **environment: str) -> Outcome:
            process.stdin.write(json.dumps([[str(each) for each in arguments], environment]) + "\n")
            process.stdin.flush()
            return Outcome(**json.loads(process.stdout.readline()))

        yield command


def train(output_dir, hub, tmp_path, script="train_sft.py", **settings) -> subprocess.CompletedProcess:
    settings = {
        "output_dir": output_dir,
        "max_steps": 2,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 1,
        "use_cpu": True,
        **({"bf16": False, "activation_checkpointing": False} if script == "train_sft.py" else {}),
        "disable_tqdm": True,
        "learning_rate": 1e-2,
        "logging_steps": 1,
        **settings,
    }
    flags = [part for name, value in settings.items() for part in (f"--{name}", str(value))]
    environment = {**os.environ, **hub.env, "HF_HOME": str(tmp_path / "training")}
    command = [sys.executable, ROOT / script, *flags]
    return subprocess.run(command, env=environment, capture_output=True, text=True)
