"""Training runs that may be stopped at any time, and go on by the same command."""

import json
import signal
import sys
from pathlib import Path

import torch
from accelerate.utils import reduce
from transformers import Trainer, TrainerCallback
from transformers.trainer_utils import TrainOutput
from transformers.utils import logging


logger = logging.get_logger("textgenome.training")

# What may change from one start to the next without another model coming out.
FREE_SETTINGS = {"attn_implementation", "dataset_test_split", "generation_rows", "max_new_tokens"}


class WholeCheckpointsMixin:
    """For a trainer: the state of the trainer, last file of a checkpoint, waits for the other processes' files.

    Without it a process killed at that time leaves a checkpoint that looks whole, and a run that resumes from there
    draws another dropout.
    """

    def _save_rng_state(self, output_dir: str) -> None:
        super()._save_rng_state(output_dir)
        self.accelerator.wait_for_everyone()


class SaveOnTermination(TrainerCallback):
    """On SIGTERM during training, save a checkpoint after the running step and stop.

    The trainer's own `enable_jit_checkpoint` may save within a step, after its dropout was drawn; a run that resumes
    from there takes another course.
    """

    def __init__(self):
        self.received = False  # by this process
        self.terminated = False  # all processes know
        self.first_step = 0

    def on_signal(self, signum, frame):
        self.received = True

    def on_train_begin(self, args, state, control, **kwargs):
        self.first_step = state.global_step

    def on_step_end(self, args, state, control, **kwargs):
        # The signal may reach one process only, or the processes at different steps: they stop together or they hang.
        self.terminated = bool(reduce(torch.tensor(float(self.received), device=args.device), "sum"))
        control.should_save |= self.terminated
        control.should_training_stop |= self.terminated


def absolute(name: str | None) -> str | None:
    """The name of a model; of a folder its absolute path, by which an adapter finds its base from anywhere."""
    return str(Path(name).resolve()) if name and Path(name).is_dir() else name


def last_checkpoint(output_dir: Path) -> str | None:
    """The newest checkpoint that was written to its end, the state of the trainer being its last file."""
    finished = [path.parent for path in output_dir.glob("checkpoint-*/trainer_state.json") if is_whole(path)]
    return str(max(finished, key=lambda path: int(path.name.rpartition("-")[2]))) if finished else None


def is_whole(path: Path) -> bool:
    """Whether a JSON file was written to its end."""
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return True


def train_or_resume(trainer: Trainer) -> TrainOutput | None:
    """Train from the newest checkpoint on, and save the model.

    Returns:
        What `trainer.train` returns, or None if the folder held a finished run, of which nothing was left to train.

    Raises:
        SystemExit: On SIGTERM, with the status 143, once a checkpoint is saved.
    """
    termination = SaveOnTermination()
    trainer.add_callback(termination)
    output_dir = trainer.args.output_dir
    checkpoint = trainer.args.resume_from_checkpoint or last_checkpoint(Path(output_dir))
    previous_handler = signal.signal(signal.SIGTERM, termination.on_signal)
    try:
        result = trainer.train(resume_from_checkpoint=checkpoint)
        if termination.terminated:
            trainer.accelerator.wait_for_everyone()  # a launcher ends the others when the first process is gone
            logger.warning(f"Stopped by SIGTERM at step {trainer.state.global_step}. The same command resumes.")
            sys.exit(128 + signal.SIGTERM)
        trainer.save_model()
    finally:
        signal.signal(signal.SIGTERM, previous_handler)
    if termination.received:
        # Behind the last step the processes do not agree any more, but all of them save the model.
        signal.raise_signal(signal.SIGTERM)
    if trainer.state.global_step == termination.first_step:
        logger.warning(f"{output_dir} holds a finished run: nothing is left to train.")
        return None
    return result


__all__ = [
    "SaveOnTermination",
    "WholeCheckpointsMixin",
    "absolute",
    "last_checkpoint",
    "train_or_resume",
]
