from collections import Counter

import numpy as np
from conftest import random_dna

from textgenome.evaluation import kmers
from textgenome.evaluation.kmers import count_kmers, encode_bases


def test_kmers_are_counted_as_one_would_by_hand(monkeypatch):
    monkeypatch.setattr(kmers, "AT_ONCE", 2)
    sequences = [random_dna(40), "AC", "", "ACGNACGT", random_dna(7, seed=3)]
    counts = count_kmers(sequences, (2, 3)).toarray()
    assert counts.shape == (5, 16 + 64)
    for sequence, row in zip(sequences, counts):
        for k, columns in ((2, row[:16]), (3, row[16:])):
            words = Counter(sequence[i : i + k] for i in range(len(sequence) - k + 1))
            expected = np.zeros(4**k)
            for word, count in words.items():
                if "N" not in word:
                    expected[int("".join(str("ACGT".index(base)) for base in word), 4)] = count
            assert (columns == expected).all()


def test_bases_are_numbers():
    assert encode_bases("ACGTN").tolist() == [0, 1, 2, 3, -1]
