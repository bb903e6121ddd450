"""Rows that a model has seen in training, letter by letter or from the other strand."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from textgenome.data.sequences import reverse_complement


class Duplicates(NamedTuple):
    """Which evaluated rows have the sequences of a train row.

    Attributes:
        exact: Letter by letter, bool of shape `(rows,)`.
        other_strand: Of the others, those whose reverse complements are a train row, the same shape.
    """

    exact: np.ndarray
    other_strand: np.ndarray

    @property
    def either(self) -> np.ndarray:
        return self.exact | self.other_strand


def find_duplicates(train: Sequence[tuple[str, ...]], rows: Sequence[tuple[str, ...]]) -> Duplicates:
    """Compare the sequences of rows, or their pairs, with those of the train rows. Labels are not compared.

    Args:
        train: In the letters A, C, G, T and N, the sequence of each train row, or its reference and variant.
        rows: The same of the evaluated rows.
    """
    known = set(train)
    exact = np.array([row in known for row in rows], dtype=bool)
    turned = np.array([tuple(map(reverse_complement, row)) in known for row in rows], dtype=bool)
    return Duplicates(exact, turned & ~exact)


__all__ = ["Duplicates", "find_duplicates"]
