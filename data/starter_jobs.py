"""Starter data for further jobs: the protein of a coding sequence, and how often a motif occurs."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import TYPE_CHECKING

from textgenome.data.answer_types import ANSWER_TYPE, JOB
from textgenome.data.proteins import CODE, QUESTIONS, spaced, translate


if TYPE_CHECKING:
    from datasets import Dataset

SPLITS = {"train": 27_000, "validation": 240}
CODONS = (6, 16)
MOTIF = "TGACTCA"  # the site of AP-1: Lee, Mitchell and Tjian, Cell 49:741 (1987)
COUNTS = 4  # from 0 to 3
LENGTHS = (40, 60)
SENSE = [codon for codon, amino_acid in CODE.items() if amino_acid != "*"]


def starter_proteins(split: str, seed: int = 0) -> Dataset:
    """Random codons, without stop codons, with the protein that they encode.

    Args:
        split: `train` (27,000 rows) or `validation` (240 rows).
        seed: Seed of the split.

    Returns:
        Rows as those of `coding_rows`, with `job`.
    """
    rng = random.Random(f"{split} {seed}")
    rows = []
    for _ in range(SPLITS[split]):
        sequence = "".join(rng.choices(SENSE, k=rng.randint(*CODONS)))
        row = {"question": QUESTIONS["known"], "sequence": sequence, "answer": spaced(translate(sequence))}
        rows.append({**row, ANSWER_TYPE: "protein", JOB: "translation"})
    from datasets import Dataset

    return Dataset.from_list(rows)


def starter_counts(split: str, seed: int = 0) -> Dataset:
    """Random DNA with a motif in it up to three times, and how often it occurs; equally many rows of each number.

    Args:
        split: `train` (27,000 rows) or `validation` (240 rows).
        seed: Seed of the split.

    Returns:
        Rows with `question`, `sequence`, `answer`, `answer_type` and `job`.
    """
    rng = random.Random(f"{split} {seed}")
    question = f"How often does {MOTIF} occur in this sequence?"
    rows = []
    for number in range(SPLITS[split]):
        count = number % COUNTS
        row = {"question": question, "sequence": _with_motifs(count, rng), "answer": str(count)}
        rows.append({**row, ANSWER_TYPE: "value", JOB: "counting"})
    from datasets import Dataset

    return Dataset.from_list(rows).shuffle(seed=seed)


def _with_motifs(count: int, rng: random.Random) -> str:
    while True:
        spare = rng.randint(*LENGTHS) - count * len(MOTIF)
        cuts = [0, *sorted(rng.randint(0, spare) for _ in range(count)), spare]
        between = ("".join(rng.choices("ACGT", k=end - start)) for start, end in pairwise(cuts))
        sequence = MOTIF.join(between)
        if sum(sequence.startswith(MOTIF, place) for place in range(len(sequence))) == count:
            return sequence


__all__ = ["COUNTS", "MOTIF", "SPLITS", "starter_counts", "starter_proteins"]
