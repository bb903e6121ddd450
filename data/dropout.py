"""Training rows that are asked without their own question, or without their DNA, other ones in each epoch."""

import random
from collections.abc import Mapping
from dataclasses import dataclass

from textgenome.data.conversations import DNA_COLUMNS


@dataclass
class RowDropout:
    """Leaves out a part of some rows, drawn anew in each epoch.

    A question may name what is to be found in the DNA, as the public KEGG rows name genes: then a model learns from
    the question alone. Rows that ask the same `constant_question` can only be answered from the DNA.

    Which rows these are depends on the seed, the epoch and the row alone, so that a run that resumes draws the same. A
    row that is drawn twice loses its question. Conversations (`messages`) and rows without DNA stay whole.

    Args:
        question_dropout: Share of rows that ask the constant question, from 0 to 1.
        dna_dropout: Share of rows that are asked without DNA.
        constant_question: See `Description`.
        seed: Of the draws.
        epoch: The epoch, counted from 0.
    """

    question_dropout: float
    dna_dropout: float
    constant_question: str
    seed: int
    epoch: int = 0

    def __call__(self, row: Mapping) -> Mapping:
        """The row as this epoch shows it."""
        if row.get("messages") is not None or row.get(DNA_COLUMNS[0]) is None:
            return row
        rng = random.Random(f"{self.seed} {self.epoch} {dict(row)}")
        drops_question, drops_dna = rng.random() < self.question_dropout, rng.random() < self.dna_dropout
        if drops_question:
            return {**row, "question": self.constant_question}
        return {**row, **dict.fromkeys(DNA_COLUMNS)} if drops_dna else row


__all__ = ["RowDropout"]
