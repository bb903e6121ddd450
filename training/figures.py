"""What a training run took, in `train_results.json`."""

import os
import sys
from pathlib import Path

import torch
from transformers.trainer_utils import TrainOutput

from textgenome.data.files import read_json
from textgenome.training.resuming import ResumesMixin


def save_figures(trainer: ResumesMixin, result: TrainOutput | None, **more) -> None:
    """Log and save speed, memory and hardware of a training, and the settings of the trainer.

    Time, loss and the speeds that follow from them are those of the run, through all its starts.

    Args:
        trainer: That has trained.
        result: What it returned, or None if nothing was left to train: then the figures of the first time stay, if
            they are there.
        more: Further entries.
    """
    output_dir = Path(trainer.args.output_dir)
    if result is None and (output_dir / "train_results.json").exists():
        return
    figures = {**run_figures(trainer, result), **more}
    if result is not None:
        peak = peak_memory_gb()
        figures |= {} if peak is None else {"peak_memory_gb": round(peak, 2)}
    speed = "train_tokens_per_second"
    speeds = [log[speed] for log in trainer.state.log_history if speed in log]
    figures |= {speed: speeds[-1]} if speeds else {}
    figures |= {"hardware": hardware(trainer.args.world_size), "processes": trainer.args.world_size}
    figures["engine"] = trainer.accelerator.distributed_type.value
    trainer.log_metrics("train", figures)
    if trainer.is_world_process_zero():
        path = output_dir / "training_arguments.json"
        path.write_text(trainer.args.to_json_string() + "\n", encoding="utf-8")
    trainer.save_metrics("train", figures)  # last: where they are, all is there


def run_figures(trainer: ResumesMixin, result: TrainOutput | None) -> dict[str, float]:
    """What a run took, as its logs tell, which its checkpoints hand on.

    Returns:
        `train_runtime` in seconds, `train_loss`, the mean over all steps, `train_steps`, `train_steps_per_second`,
        `train_samples_per_second`, `epoch` and `total_flos`.
    """
    state, step, loss = trainer.state, 0, 0.0
    for entry in state.log_history:
        if "loss" in entry:
            loss += entry["loss"] * (entry["step"] - step)
            step = entry["step"]
    seconds = trainer.earlier_seconds + (result.metrics["train_runtime"] if result else 0)
    rows = state.epoch * len(trainer.train_dataset)
    return {
        "train_runtime": round(seconds, 4),
        "train_loss": loss / max(step, 1),
        "train_steps": state.global_step,
        "train_steps_per_second": round(state.global_step / seconds, 3) if seconds else None,
        "train_samples_per_second": round(rows / seconds, 3) if seconds else None,
        "epoch": state.epoch,
        "total_flos": state.total_flos,
    }


def trained_bases_per_second(output_dir: Path) -> int:
    """How many bases a second the training of a run read, each strand and each epoch counted; 0 if it is not known."""
    return (read_json(output_dir / "train_results.json") or {}).get("train_bases_per_second", 0)


def peak_memory_gb() -> float | None:
    """The most memory that this process used: of the GPU if there is one, else of the machine. None on Windows."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return None
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return kilobytes * 1024 / 1e9


def hardware(processes: int) -> str:
    if torch.cuda.is_available():
        return f"{processes} x {torch.cuda.get_device_name()}"
    return f"{os.cpu_count()} CPU cores"


__all__ = ["save_figures", "trained_bases_per_second"]
