import numpy as np
import pytest
from conftest import random_dna, variant_row

from textgenome.data.sequences import reverse_complement
from textgenome.evaluation import small_cnn
from textgenome.evaluation.duplicates import find_duplicates
from textgenome.evaluation.sequence_baselines import describe_change, predict_sequence_baselines


SINGLE, SEVERAL, REGRESSION = "single_label_classification", "multi_label_classification", "regression"


@pytest.fixture(autouse=True)
def one_epoch(monkeypatch):
    """The network has tests of its own."""
    monkeypatch.setattr(small_cnn, "EPOCHS", 1)


def rich_in_gc(number, start=0):
    """Every second sequence has more G and C."""
    rng = np.random.default_rng(start)
    return [
        ("".join(rng.choice(list("ACGT"), 40, p=[[0.25] * 4, [0.1, 0.4, 0.4, 0.1]][i % 2])),) for i in range(number)
    ]


def test_classes():
    train, targets = rich_in_gc(90), np.arange(90) % 2
    targets[::10] = 2
    found = predict_sequence_baselines(train, targets, rich_in_gc(30, 1), SINGLE, 4)
    assert list(found) == ["majority", "kmers", "small_cnn", "labels_shuffled"]
    for scores in found.values():
        assert scores.shape == (30, 4) and scores.sum(axis=1) == pytest.approx(1)
    assert found["majority"][0] == pytest.approx([np.mean(targets == i) for i in range(4)])
    assert (found["kmers"][:, :2].argmax(axis=1) == np.arange(30) % 2).mean() > 0.8
    assert (found["kmers"][:, 3] == 0).all()  # a class that no train row has


def test_several_labels_of_which_one_is_constant():
    targets = np.stack([np.arange(90) % 2 == 1, np.ones(90, bool)], axis=1)
    found = predict_sequence_baselines(rich_in_gc(90), targets, rich_in_gc(30, 1), SEVERAL, 2)
    assert found["majority"][0].tolist() == [0.5, 1]
    assert ((found["kmers"][:, 0] > 0.5) == (np.arange(30) % 2 == 1)).mean() > 0.8
    assert (found["kmers"][:, 1] == 1).all() and found["small_cnn"].shape == (30, 2)


def test_values():
    train, rows = rich_in_gc(200), rich_in_gc(60, 1)
    share = [np.array([sum(each[0].count(base) for base in "GC") / 40 for each in given]) for given in (train, rows)]
    found = predict_sequence_baselines(train, share[0], rows, REGRESSION, 1)
    assert list(found) == ["mean", "kmers", "small_cnn", "labels_shuffled"]
    assert (found["mean"] == share[0].mean()).all()
    assert np.corrcoef(found["kmers"], share[1])[0, 1] > 0.9


def test_pairs_have_their_substitution():
    pairs = [tuple(variant_row(40, i)[f"{each}_sequence"] for each in ("reference", "variant")) for i in range(120)]
    targets = np.array([variant[20] == "A" for _, variant in pairs]).astype(int)
    found = predict_sequence_baselines(pairs[:80], targets[:80], pairs[80:], SINGLE, 2)
    assert list(found) == ["majority", "substitution", "kmers", "small_cnn", "labels_shuffled"]
    assert (found["substitution"].argmax(axis=1) == targets[80:]).all()


def test_one_class_has_nothing_to_learn():
    found = predict_sequence_baselines([("ACGT",)] * 3, np.zeros(3, int), [("ACGT",)], SINGLE, 2)
    assert {name: each.tolist() for name, each in found.items()} == {"majority": [[1, 0]]}


@pytest.mark.parametrize(
    ("reference", "variant", "expected"),
    [
        ("GACGT", "GATGT", {"change": "C>T", "context": "ACG", "both": "ACG>T"}),
        ("ACGT", "TCGT", {"change": "A>T", "context": "AC", "both": "AC>T"}),
        ("AACC", "AATCC", {"change": "insertion", "length": "insertion of 1", "context": "AC"}),
        ("AATTCC", "AACC", {"change": "deletion", "length": "deletion of 2", "context": "ATC"}),
        ("AATTCC", "AAGGCC", {"change": "other", "length": "other of 0", "context": "ATC"}),
    ],
)
def test_the_change_of_a_pair(reference, variant, expected):
    assert describe_change(reference, variant) == expected


def test_duplicates_on_either_strand():
    train = [("ACGTT",), (random_dna(20),), ("ACGT",)]
    rows = [("ACGTT",), ("AACGT",), ("ACGT",), ("TTTTT",), (reverse_complement(random_dna(20)),)]
    found = find_duplicates(train, rows)
    assert found.exact.tolist() == [True, False, True, False, False]  # ACGT is its own reverse complement
    assert found.other_strand.tolist() == [False, True, False, False, True]
    assert found.either.tolist() == [True, True, True, False, True]
    assert not find_duplicates([], rows).either.any()
    pairs = [("AAC", "AAT"), ("GTT", "ATT")]
    assert find_duplicates(pairs[:1], pairs).other_strand.tolist() == [False, True]
