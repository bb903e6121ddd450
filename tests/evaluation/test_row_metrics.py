import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as reference

from textgenome.evaluation.row_metrics import (
    accuracy,
    auprc,
    auroc,
    count_classes,
    macro_f1,
    mcc,
    measure_classes,
    measure_labels,
    measure_values,
    pearson,
    r2,
    spearman,
)


ROWS = 60


@pytest.fixture
def rng():
    return np.random.default_rng(1)


@pytest.fixture
def weights(rng):
    drawn = rng.multinomial(ROWS, np.full(ROWS, 1 / ROWS), 8).astype(float)
    return np.concatenate([np.ones((1, ROWS)), drawn])


def repeated(weights, *arrays):
    """What each sample holds: a row as often as it was drawn."""
    for each in weights.astype(int):
        yield tuple(array.repeat(each, axis=0) for array in arrays)


@pytest.mark.parametrize(
    ("metric", "expected"), [(auroc, reference.roc_auc_score), (auprc, reference.average_precision_score)]
)
def test_ranks_are_measured_as_scikit_learn_does_ties_too(metric, expected, rng, weights):
    truths, scores = rng.random(ROWS) < 0.3, rng.integers(6, size=ROWS) / 6
    values = metric(truths, scores, weights)
    assert values == pytest.approx([expected(*sample) for sample in repeated(weights, truths, scores)])


def test_the_area_is_undefined_without_both_classes():
    scores, weights = np.arange(4.0), np.ones((1, 4))
    assert np.isnan(auroc(np.ones(4, bool), scores, weights)).all()
    assert np.isnan(auprc(np.zeros(4, bool), scores, weights)).all()


@pytest.mark.parametrize("classes", [2, 4, 12])
def test_classes_are_measured_as_scikit_learn_does(classes, rng, weights):
    truths, given = rng.integers(classes, size=(2, ROWS))
    counts = count_classes(truths, given, classes, weights)
    samples = list(repeated(weights, truths, given))
    assert accuracy(counts) == pytest.approx([reference.accuracy_score(*sample) for sample in samples])
    assert mcc(counts) == pytest.approx([reference.matthews_corrcoef(*sample) for sample in samples])
    expected = [reference.f1_score(t, g, labels=np.unique(t), average="macro", zero_division=0) for t, g in samples]
    assert macro_f1(counts) == pytest.approx(expected)


def test_one_class_only_has_a_correlation_of_zero():
    counts = count_classes(np.array([0, 1, 1]), np.array([1, 1, 1]), 2, np.ones((1, 3)))
    assert mcc(counts) == [0]


def test_a_class_that_was_not_trained_is_wrong():
    counts = count_classes(np.array([0, 1, -1]), np.array([0, 1, 1]), 2, np.ones((1, 3)))
    assert accuracy(counts) == pytest.approx([2 / 3])


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (pearson, lambda t, p: stats.pearsonr(t, p).statistic),
        (spearman, lambda t, p: stats.spearmanr(t, p).statistic),
        (r2, reference.r2_score),
    ],
)
def test_values_are_measured_as_scipy_does(metric, expected, rng, weights):
    truths = rng.normal(1e4, 1, ROWS).round(1)  # far from 0, with ties
    predictions = truths + rng.normal(0, 1, ROWS)
    values = metric(truths, predictions, weights)
    assert values == pytest.approx([expected(*sample) for sample in repeated(weights, truths, predictions)], rel=1e-6)


def test_constant_values():
    truths, weights = np.arange(4.0), np.ones((1, 4))
    for metric in (pearson, spearman):
        assert metric(truths, np.ones(4), weights) == [0]  # a prediction that says nothing
        assert np.isnan(metric(np.ones(4), truths, weights)).all()
    assert r2(truths, np.full(4, 1.5), weights) == [0]
    assert np.isnan(r2(np.ones(4), truths, weights)).all()


def value(metric):
    return metric.compute(np.ones((1, metric.units)))[0]


def test_more_than_two_classes_are_each_ranked_against_the_rest(rng):
    truths, scores = rng.integers(3, size=ROWS), rng.dirichlet(np.ones(3), ROWS)
    found = measure_classes(truths, scores, np.arange(ROWS))
    assert value(found["auroc"]) == pytest.approx(reference.roc_auc_score(truths, scores, multi_class="ovr"))
    assert list(found) == ["mcc", "auroc", "auprc", "macro_f1", "accuracy"]


def test_several_labels_a_row(rng):
    truths, scores = rng.random((ROWS, 3)) < 0.4, rng.random((ROWS, 3))
    found = {name: value(metric) for name, metric in measure_labels(truths, scores, np.arange(ROWS)).items()}
    assert found["auroc"] == pytest.approx(reference.roc_auc_score(truths, scores))
    assert found["auprc"] == pytest.approx(reference.average_precision_score(truths, scores))
    assert found["macro_f1"] == pytest.approx(reference.f1_score(truths, scores >= 0.5, average="macro"))
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(truths, scores >= 0.5))


def test_several_targets_have_their_mean(rng):
    truths, predictions = rng.normal(size=(2, ROWS, 2))
    found = measure_values(truths, predictions, np.arange(ROWS))
    expected = [stats.pearsonr(*each).statistic for each in zip(truths.T, predictions.T)]
    assert value(found["pearson"]) == pytest.approx(np.mean(expected))


def test_whole_units_are_drawn(rng):
    truths, scores, units = rng.integers(2, size=ROWS), rng.random((ROWS, 2)), np.arange(ROWS) // 6
    metric = measure_classes(truths, scores, units)["auroc"]
    assert metric.units == 10
    drawn = np.eye(10)[3] + np.eye(10)[4] * 2
    rows = np.r_[np.arange(18, 24), np.tile(np.arange(24, 30), 2)]
    expected = reference.roc_auc_score(truths[rows], scores[rows, 1])
    assert metric.compute(drawn[None])[0] == pytest.approx(expected)
