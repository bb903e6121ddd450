"""Runs of `textgenome grpo`, in this process."""

from pathlib import Path

from conftest import TINY_CHECKPOINT
from runs import QUICK, as_flags

from textgenome.training import grpo


GROUPS = {"num_generations": 2, "max_completion_length": 6, "temperature": 1.5, "activation_checkpointing": False}


def flags(table: Path, **settings) -> list[str]:
    named = {"dataset_name": table / "rows", "model_name_or_path": TINY_CHECKPOINT, "output_dir": table / "out"}
    return as_flags({**named, "bf16": False, "report_to": "none", **QUICK, **GROUPS, **settings})


def train(table: Path, **settings) -> Path:
    grpo.main(flags(table, **settings))
    return settings.get("output_dir", table / "out")
