"""Counts of k-mers of many sequences at once."""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix, vstack


AT_ONCE = 1000  # sequences, which bounds the memory
# A, C, G and T by their byte; all else breaks a k-mer.
_CODES = np.full(256, -1, dtype=np.int64)
_CODES[np.frombuffer(b"ACGT", np.uint8)] = range(4)


def encode_bases(sequence: str) -> np.ndarray:
    """The letters of an upper-case sequence as 0 for A to 3 for T, and -1 for any other: `(length,)`, int64."""
    return _CODES[np.frombuffer(sequence.encode(), np.uint8)]


def count_kmers(sequences: Sequence[str], lengths: Sequence[int] = (3, 4, 5)) -> csr_matrix:
    """How often each k-mer occurs in each sequence.

    Args:
        sequences: In the letters A, C, G, T and N.
        lengths: The values of k.

    Returns:
        `(sequences, sum of 4**k)`, float64: the k-mers of the first length in the order of the alphabet, then those of
        the next.
    """
    counts = [_count_together(sequences[i : i + AT_ONCE], lengths) for i in range(0, len(sequences), AT_ONCE)]
    return vstack(counts, "csr")


def _count_together(sequences: Sequence[str], lengths: Sequence[int]) -> csr_matrix:
    bases = encode_bases("N".join(sequences))  # no k-mer reaches over an N
    rows = np.repeat(np.arange(len(sequences)), [len(sequence) + 1 for sequence in sequences])[:-1]
    places, columns, start = [], [], 0
    for k in lengths:
        kmers, known = np.zeros(max(len(bases) - k + 1, 0), np.int64), True
        for offset in range(k):
            each = bases[offset : offset + len(kmers)]
            kmers, known = kmers * 4 + each, known & (each >= 0)
        places.append(rows[: len(kmers)][known])
        columns.append(kmers[known] + start)
        start += 4**k
    places, columns = np.concatenate(places), np.concatenate(columns)
    return csr_matrix((np.ones(len(places)), (places, columns)), shape=(len(sequences), start))


__all__ = ["count_kmers", "encode_bases"]
