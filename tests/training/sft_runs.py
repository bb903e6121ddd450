"""Runs of the script that fine-tunes, in this process."""

import json
from pathlib import Path

from conftest import TINY_CHECKPOINT, variant_row
from runs import QUICK, as_flags, write_rows

from textgenome.data import row_to_messages
from textgenome.data.rows import load_rows
from textgenome.training import sft


TEXT = {"model_type": "qwen3", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
TEXT |= {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "initializer_range": 0.2}
HYENA = {"model_type": "hyenadna", "d_model": 32, "d_inner": 32, "max_seq_len": 64, "initializer_range": 0.2}


def write_table(folder: Path) -> Path:
    """Eight rows of four answers in `rows`, to train and to evaluate on."""
    rows = [variant_row(seed=i, answer="ABCD"[i % 4] * 2) for i in range(8)]
    write_rows(folder / "rows", train=rows, val=rows)
    return folder


def flags(table: Path, **settings) -> list[str]:
    named = {"dataset_name": table / "rows", "model_name_or_path": TINY_CHECKPOINT, "output_dir": table / "out"}
    return as_flags({**named, "bf16": False, "activation_checkpointing": False, **QUICK, **settings})


def train(table: Path, **settings) -> Path:
    sft.main(flags(table, **settings))
    return settings.get("output_dir", table / "out")


def from_random_weights(table: Path, **settings) -> Path:
    models = {"text_config": json.dumps(TEXT), "dna_config": json.dumps(HYENA), "model_name_or_path": None}
    return train(table, **{**models, "text_vocab_size": 300, "dna_window": 64, **settings})


def conversations(table: Path) -> list[list[dict]]:
    return [row_to_messages(row) for row in load_rows(str(table / "rows"), "train")]
