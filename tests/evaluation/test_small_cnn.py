import numpy as np
import pytest
import torch
from conftest import random_dna

from textgenome.data.sequences import reverse_complement
from textgenome.evaluation import small_cnn
from textgenome.evaluation.small_cnn import SmallCNN, predict_small_cnn


MOTIF = "TATAAAGGCG"
SINGLE, SEVERAL, REGRESSION = "single_label_classification", "multi_label_classification", "regression"


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    monkeypatch.setattr(small_cnn, "WIDTH", 16)
    monkeypatch.setattr(small_cnn, "EPOCHS", 12)
    monkeypatch.setattr(small_cnn, "LEARNING_RATE", 1e-2)


def planted(number, start=0, turn=False):
    """Sequences of 48 bases, every second one with the motif at its middle."""
    rows, targets = [], np.arange(number) % 2
    for i, has in enumerate(targets):
        sequence = random_dna(48, seed=start + i)
        sequence = sequence[:20] + MOTIF + sequence[30:] if has else sequence
        rows.append((reverse_complement(sequence) if turn else sequence,))
    return rows, targets


def test_a_motif_is_learnt_and_the_seed_decides():
    train, targets = planted(240)
    rows, truths = planted(60, start=1000)
    state = torch.random.get_rng_state()
    found = predict_small_cnn(train, targets, rows, SINGLE, 2)
    assert (torch.random.get_rng_state() == state).all()  # what else is drawn at random is as before
    assert found.shape == (60, 2) and found.sum(axis=1) == pytest.approx(1)
    assert (found.argmax(axis=1) == truths).mean() > 0.9
    assert (predict_small_cnn(train, targets, rows, SINGLE, 2) == found).all()
    assert (predict_small_cnn(train, targets, rows, SINGLE, 2, seed=1) != found).any()


def test_several_labels_and_values():
    train, targets = planted(240)
    rows, truths = planted(60, start=1000)
    both = np.stack([targets == 1, targets == 0], axis=1)
    found = predict_small_cnn(train, both, rows, SEVERAL, 2)
    assert ((found[:, 0] > 0.5) == (truths == 1)).mean() > 0.9 and found[:, 1].mean() < 0.7
    values = predict_small_cnn(train, targets * 500.0 + 1000, rows, REGRESSION, 1)
    assert values.shape == (60,) and 1000 < values.mean() < 1500
    assert np.corrcoef(values, truths)[0, 1] > 0.8


def test_pairs_are_read_by_their_difference():
    references = [random_dna(40, seed=i) for i in range(240)]
    targets = np.arange(240) % 2
    pairs = [(each, each[:20] + "AC"[has] + each[21:]) for each, has in zip(references, targets)]
    found = predict_small_cnn(pairs[:200], targets[:200], pairs[200:], SINGLE, 2)
    assert (found.argmax(axis=1) == targets[200:]).mean() > 0.8


def test_reversed_letters_are_those_of_the_other_strand():
    bases = small_cnn._one_hot(small_cnn._as_codes([(random_dna(64),), (reverse_complement(random_dna(64)),)], 64))
    assert (bases[0].flip(1, 2) == bases[1]).all()


def test_the_budget_bounds_the_work(monkeypatch):
    seen = []
    forward = SmallCNN.forward

    def count(self, bases):
        seen.append(bases.shape[0] * bases.shape[-1] if self.training else 0)
        return forward(self, bases)

    monkeypatch.setattr(SmallCNN, "forward", count)
    monkeypatch.setattr(small_cnn, "BUDGET", 64 * 48 * 5)
    train, targets = planted(240)
    predict_small_cnn(train, targets, train[:4], SINGLE, 2)
    assert sum(seen) == pytest.approx(64 * 48 * 5, rel=0.2)


def test_long_sequences_are_read_in_their_middle_and_few_rows_do_not_stop_it(monkeypatch):
    monkeypatch.setattr(small_cnn, "LENGTH", 16)
    codes = small_cnn._as_codes([("A" * 20 + "C" * 16 + "G" * 20,), ("TN",)], 16)
    assert (codes[0] == 1).all() and codes[1, 0, :3].tolist() == [3, 4, 4]
    found = predict_small_cnn([("ACGT",), ("TTTTT",)], np.array([0, 1]), [("A" * 40,)], SINGLE, 3)
    assert found.shape == (1, 3) and np.isfinite(found).all()
