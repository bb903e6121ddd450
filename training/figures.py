"""What a training run took, in `train_results.json`."""

import os
import resource
import sys
from pathlib import Path

import torch
from transformers import Trainer
from transformers.trainer_utils import TrainOutput


def save_figures(trainer: Trainer, result: TrainOutput | None, **more) -> None:
    """Log and save speed, memory and hardware of a training, and the settings of the trainer.

    Args:
        trainer: That has trained.
        result: What it returned, or None if nothing was left to train: then the figures of the first time stay.
        more: Further entries.
    """
    if result is None:
        return
    figures = {**result.metrics, **more, "peak_memory_gb": round(peak_memory_gb(), 2)}
    speed = "train_tokens_per_second"
    speeds = [log[speed] for log in trainer.state.log_history if speed in log]
    figures |= {speed: speeds[-1]} if speeds else {}
    figures |= {"hardware": hardware(trainer.args.world_size), "processes": trainer.args.world_size}
    figures["engine"] = trainer.accelerator.distributed_type.value
    trainer.log_metrics("train", figures)
    trainer.save_metrics("train", figures)
    if trainer.is_world_process_zero():
        path = Path(trainer.args.output_dir) / "training_arguments.json"
        path.write_text(trainer.args.to_json_string() + "\n", encoding="utf-8")


def peak_memory_gb() -> float:
    """The most memory that this process had at a time: of the GPU if there is one, else of the machine."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return kilobytes * 1024 / 1e9


def hardware(processes: int) -> str:
    if torch.cuda.is_available():
        return f"{processes} x {torch.cuda.get_device_name()}"
    return f"{os.cpu_count()} CPU cores"


__all__ = ["save_figures"]
