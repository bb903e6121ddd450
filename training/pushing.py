"""`push_to_hub` in a recipe: what `textgenome push` does, at the end of a training."""

import os
import subprocess
import sys
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.utils import validate_repo_id
from transformers import TrainingArguments


# What launchers tell the processes of a run.
LAUNCHERS = ("RANK", "WORLD_SIZE", "LOCAL_", "GROUP_", "ROLE_", "MASTER_", "TORCHELASTIC_", "ACCELERATE_", "FSDP_")


def take_over_push(training: TrainingArguments) -> bool:
    """Whether to push after the training. The trainer is told not to: it would push neither code nor card.

    Raises:
        HfHubHTTPError: Without a login, now and not after the training.
        ValueError: If `hub_model_id` cannot be the id of a repository.
    """
    pushes, training.push_to_hub = training.push_to_hub, False
    if pushes:
        validate_repo_id(repository_of(training))
        HfApi(token=training.hub_token).whoami()
    return pushes


def repository_of(training: TrainingArguments) -> str:
    return training.hub_model_id or Path(training.output_dir).resolve().name


def push_trained(training: TrainingArguments) -> None:
    """Push `output_dir`, on the main process.

    A process of its own does it: in this one ZeRO-3 may still be on, and would shard what is loaded to be exported.

    Raises:
        OSError: If it fails.
    """
    command = [sys.executable, "-m", "textgenome.commands", "push", training.output_dir, repository_of(training)]
    command += ["--private"] if training.hub_private_repo else []
    command += ["--revision", training.hub_revision] if training.hub_revision else []
    environment = {name: value for name, value in os.environ.items() if not name.startswith(LAUNCHERS)}
    environment |= {"HF_TOKEN": training.hub_token} if training.hub_token else {}
    if subprocess.run(command, env=environment).returncode:
        raise OSError(f"{training.output_dir} is trained, but not pushed. `textgenome push` does it later.")


__all__ = ["push_trained", "take_over_push"]
