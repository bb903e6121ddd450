"""Runs of the script that trains models of DNA alone, in this process."""

import json
from pathlib import Path

from conftest import variant_row
from runs import QUICK, as_flags, write_rows

from textgenome.training import dna


HYENA = {"model_type": "hyenadna", "d_model": 32, "d_inner": 32, "max_seq_len": 64, "initializer_range": 0.1}


def write_table(folder: Path) -> Path:
    """Eight rows of four answers to train on; of the four to evaluate on one has an answer of its own."""
    rows = [variant_row(seed=i, answer="DCBA"[i % 4]) for i in range(8)]
    for row in rows:
        del row["question"]
    write_rows(folder / "rows", train=rows, val=[*rows[:3], {**rows[3], "answer": "other"}])
    return folder


def flags(table: Path, **settings) -> list[str]:
    named = {"dataset_name": table / "rows", "output_dir": table / "out", "dna_config": HYENA, "dna_window": 64}
    settings = {**named, **QUICK, "baselines": False, **settings}
    settings["dna_config"] = settings["dna_config"] and json.dumps(settings["dna_config"])
    return as_flags(settings)


def train(table: Path, **settings) -> Path:
    dna.main(flags(table, **settings))
    return settings.get("output_dir", table / "out")
