import math
import random

import numpy as np
import pytest
from conftest import random_dna

from textgenome.data.sequences import reverse_complement
from textgenome.evaluation import generated
from textgenome.evaluation.generated import MarkovModel, nearest_identity


def changed(sequence: str, places) -> str:
    letters = list(sequence)
    for place in places:
        letters[place] = "ACGT"["CGTA".index(letters[place])]
    return "".join(letters)


@pytest.fixture
def genome(monkeypatch):
    monkeypatch.setattr(generated, "CHUNK", 500)
    return random_dna(3000)


def test_copies_are_found_on_both_strands_and_across_chunks(genome):
    sequences = [genome[480:540], reverse_complement(genome[960:1030]), random_dna(30) + genome[100:148] + "ACGTTTACG"]
    assert nearest_identity(sequences, [genome]).tolist() == [1, 1, 1]
    assert nearest_identity([genome[:47]], [genome]).tolist() == pytest.approx([np.nan], nan_ok=True)
    assert nearest_identity(["A" * 60], ["C" * 100]).tolist() == [0]


@pytest.mark.parametrize("places", [(24,), (12, 36), (11, 23, 35)])
def test_a_few_differences_are_counted(genome, places):
    part = changed(genome[1200:1248], places)
    assert nearest_identity([part], [genome[:1000], genome[1000:]]).tolist() == [pytest.approx(1 - len(places) / 48)]
    beside = random.Random(0).choices("ACGT", k=40)
    assert nearest_identity(["".join(beside) + part], [genome])[0] == pytest.approx(1 - len(places) / 48)


def test_identity_is_that_of_all_places_one_by_one(genome):
    sequence = changed(genome[700:760], range(0, 60, 12))
    best = max(
        sum(map(str.__eq__, sequence[i : i + 48], strand[j : j + 48]))
        for strand in (genome, reverse_complement(genome))
        for i in range(13)
        for j in range(len(genome) - 47)
    )
    assert nearest_identity([sequence], [genome])[0] == pytest.approx(best / 48)


def test_a_markov_model_counts_what_follows_and_skips_n(monkeypatch):
    monkeypatch.setattr(generated, "CHUNK", 3)
    model = MarkovModel(1).fit(["ACACACNCAC"])
    # After A comes C five times, after C comes A three times; each base once more.
    assert model.counts.tolist() == [[1, 5, 1, 1], [4, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]]
    after_a, after_c = -math.log2(5 / 8), -math.log2(4 / 7)
    bits = model.bits_per_base(["GGA", "", "N"], ["CA", "ACA", "A"])
    assert bits[:2].tolist() == pytest.approx([(after_a + after_c) / 2, (after_a + after_c) / 2])
    assert math.isnan(bits[2])


def test_order_zero_knows_the_share_of_each_base():
    model = MarkovModel(0).fit(["AAAC"])
    assert model.bits_per_base(["ACGT"], ["A"])[0] == pytest.approx(-math.log2(4 / 8))
