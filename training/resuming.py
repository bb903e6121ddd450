"""Training runs that may be stopped at any time, and go on by the same command."""

import json
import re
import signal
import sys
import time
from pathlib import Path

import torch
from accelerate.utils import reduce
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback
from transformers.trainer_utils import TrainOutput
from transformers.utils import logging

from textgenome.data.locks import Lock


logger = logging.get_logger("textgenome.training")

CHECKPOINT = re.compile(r"checkpoint-([0-9]+)")  # a folder of another name is not of the trainer


class ResumesMixin:
    """For a trainer whose run may be stopped at any time, and comes to the same end.

    - The state of the trainer, last file of a checkpoint, waits for the other processes' files. Without that a
      process killed at that time leaves a checkpoint that looks whole, and a run that resumes from there draws
      another dropout.
    - A run that resumes after its last step trains no further one, nor does one that was stopped early. The library
      would.
    - Logs of the loss have `run_time_s`, seconds of training through all starts of the run.
    """

    earlier_seconds = 0.0  # of earlier starts
    steps_between_saves = 1  # a checkpoint between these holds not all that the next step needs

    def _save_rng_state(self, output_dir: str) -> None:
        super()._save_rng_state(output_dir)
        self.accelerator.wait_for_everyone()

    def _init_training_state(self, *args, **kwargs) -> tuple[int, int]:
        epochs, batches = super()._init_training_state(*args, **kwargs)
        self.earlier_seconds = max((entry.get("run_time_s", 0.0) for entry in self.state.log_history), default=0.0)
        if self.stopped_early() or self.state.global_step >= self.state.max_steps:
            return self.state.num_train_epochs, 0
        if self.state.global_step and self.args.save_only_model:
            raise ValueError(
                f"{self.args.output_dir} holds a run that was stopped, and with save_only_model no state of the "
                "optimizer to go on with. Remove it for a fresh start."
            )
        return epochs, batches

    def stopped_early(self) -> bool:
        """Let early stopping go on to count where the checkpoint does. Returns whether it has stopped the run."""
        saved = self.state.stateful_callbacks.get(EarlyStoppingCallback.__name__)
        for callback in self.callback_handler.callbacks:
            if saved and isinstance(callback, EarlyStoppingCallback):
                callback.early_stopping_patience_counter = saved["attributes"]["early_stopping_patience_counter"]
                return callback.early_stopping_patience_counter >= callback.early_stopping_patience
        return False

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs and start_time is not None:
            logs["run_time_s"] = round(self.earlier_seconds + time.time() - start_time, 3)
        super().log(logs, start_time)


class SaveOnTermination(TrainerCallback):
    """On SIGTERM during training, save a checkpoint after the running step and stop.

    The trainer's own `enable_jit_checkpoint` may save within a step, after its dropout was drawn; a run that resumes
    from there takes another course.

    Args:
        steps_between_saves: After the next step that is a multiple of this, see `ResumesMixin`.
    """

    def __init__(self, steps_between_saves: int = 1):
        self.steps_between_saves = steps_between_saves
        self.received = False  # by this process
        self.terminated = False  # all processes know
        self.first_step = 0

    def on_signal(self, signum, frame):
        self.received = True

    def on_train_begin(self, args, state, control, **kwargs):
        self.first_step = state.global_step

    def on_step_end(self, args, state, control, **kwargs):
        # The signal may reach one process only, or the processes at different steps: they stop together or they hang.
        received = bool(reduce(torch.tensor(float(self.received), device=args.device), "sum"))
        self.terminated = received and state.global_step % self.steps_between_saves == 0
        control.should_save |= self.terminated
        control.should_training_stop |= self.terminated
        self.log_what_is_saved(control)

    def on_epoch_end(self, args, state, control, **kwargs):
        self.log_what_is_saved(control)

    def log_what_is_saved(self, control) -> None:
        # Time and loss until then, which are known of a run that goes on from there by its logs only.
        control.should_log |= control.should_save or control.should_training_stop


class CheckLock(TrainerCallback):
    """Ends a run whose folder was removed: a checkpoint would make it anew, without what else lay there."""

    def __init__(self, lock: Lock):
        self.lock = lock

    def on_step_end(self, args, state, control, **kwargs):
        self.lock.check()


def absolute(name: str | None) -> str | None:
    """The name of a model; of a folder its absolute path, by which an adapter finds its base from anywhere."""
    return str(Path(name).resolve()) if name and Path(name).is_dir() else name


def last_checkpoint(output_dir: Path) -> str | None:
    """The newest checkpoint that was written to its end, the state of the trainer being its last file."""
    folders = {int(found[1]): path for path in output_dir.glob("*") if (found := CHECKPOINT.fullmatch(path.name))}
    steps = [step for step, path in folders.items() if is_whole(path / "trainer_state.json")]
    return str(folders[max(steps)]) if steps else None


def step_of_last_checkpoint(output_dir: Path) -> int:
    """How many steps a run has done, as far as they are saved."""
    checkpoint = last_checkpoint(output_dir)
    return int(CHECKPOINT.fullmatch(Path(checkpoint).name)[1]) if checkpoint else 0


def is_whole(path: Path) -> bool:
    """Whether a JSON file is there and was written to its end."""
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True


def train_or_resume(trainer: Trainer, lock: Lock | None = None) -> TrainOutput | None:
    """Train from the newest checkpoint on, and save the model.

    Args:
        trainer: With `ResumesMixin`.
        lock: Of the output folder, on the process that holds it.

    Returns:
        What `trainer.train` returns, or None if the folder held a finished run.

    Raises:
        OSError: If the output folder is removed meanwhile.
        SystemExit: On SIGTERM, with the status 143, once a checkpoint is saved.
    """
    termination = SaveOnTermination(trainer.steps_between_saves)
    trainer.add_callback(termination)
    if lock:
        trainer.add_callback(CheckLock(lock))
    output_dir = trainer.args.output_dir
    checkpoint = trainer.args.resume_from_checkpoint or last_checkpoint(Path(output_dir))
    previous_handler = signal.signal(signal.SIGTERM, termination.on_signal)
    try:
        result = trainer.train(resume_from_checkpoint=checkpoint)
        if termination.terminated:
            trainer.accelerator.wait_for_everyone()  # a launcher ends the others when the first process is gone
            logger.warning(f"Stopped by SIGTERM at step {trainer.state.global_step}. The same command resumes.")
            sys.exit(128 + signal.SIGTERM)
        if lock:
            lock.check()
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
    "ResumesMixin",
    "SaveOnTermination",
    "absolute",
    "last_checkpoint",
    "step_of_last_checkpoint",
    "train_or_resume",
]
