"""What genotypes alone tell of expression, where it is known what they do."""

import numpy as np
import pytest

from textgenome.evaluation.expression_baselines import best_site, elastic_net, predict_from_sites
from textgenome.evaluation.row_metrics import pearson


PEOPLE, SITES, CAUSAL = 200, 30, 17
TRAINED = np.arange(PEOPLE) < 150


@pytest.fixture
def planted():
    """Dosages, and values of two genes: one that a site decides, one of chance."""
    rng = np.random.default_rng(0)
    dosages = rng.binomial(2, 0.4, size=(SITES, PEOPLE))
    values = rng.normal(size=(2, PEOPLE))
    values[0] = 5 + 1.5 * dosages[CAUSAL] + 0.3 * values[0]
    return dosages, values


def r_of(values, predictions):
    new = ~TRAINED
    return pearson(values[new], predictions[new], np.ones((1, new.sum())))[0]


@pytest.mark.parametrize("fit", [elastic_net, best_site])
def test_the_planted_site_is_found_and_chance_is_not(planted, fit):
    dosages, values = planted
    found = predict_from_sites(lambda gene: dosages, values, [0, 1], TRAINED, fit, "")
    expected = 1.5 * np.sqrt(2 * 0.4 * 0.6) / np.hypot(1.5 * np.sqrt(2 * 0.4 * 0.6), 0.3)  # what noise leaves of r
    assert r_of(values[0], found[0]) == pytest.approx(expected, abs=0.02)
    assert abs(r_of(values[1], found[1])) < 0.3
    # Only the planted site changes what is predicted, and by as much as it does.
    changed = dosages.copy()
    changed[CAUSAL, TRAINED.sum() :] = 2
    again = predict_from_sites(lambda gene: changed, values, [0], TRAINED, fit, "")[0]
    difference = (again - found[0])[~TRAINED]
    assert difference == pytest.approx(1.5 * (2 - dosages[CAUSAL][~TRAINED]), abs=0.25)


def test_nothing_of_new_people_is_learnt(planted):
    dosages, values = planted
    changed = values.copy()
    changed[:, ~TRAINED] = 100.0
    each = [predict_from_sites(lambda gene: dosages, v, [0, 1], TRAINED, elastic_net, "") for v in (values, changed)]
    np.testing.assert_array_equal(*each)


def test_best_site_is_the_regression_on_it():
    sites = np.array([[0.0, 1, 2, 1, 0, 2], [1, 1, 0, 0, 1, 2]])
    values = np.array([[1.0, 2.0, 3.0, 2.0, 1.0, 9.0]])
    trained = np.arange(6) < 5
    found = predict_from_sites(lambda gene: sites, values, [0], trained, best_site, "")
    assert found[0] == pytest.approx([1, 2, 3, 2, 1, 3]), "the first site explains the training people without error"


def test_sites_that_are_rare_or_missing_leave_the_mean():
    values = np.array([[*range(200)], [np.nan, *range(199)], [1.0] * 200], dtype=float)
    rare = np.zeros((3, 200))
    rare[:, 0] = 1  # one allele of three hundred
    asked = {0: rare, 1: np.zeros((0, 200))}
    found = predict_from_sites(asked.__getitem__, values, [0, 1], TRAINED, elastic_net, "")
    assert (found[0] == np.arange(150).mean()).all() and (found[1] == np.arange(149).mean()).all()
    assert np.isnan(found[2]).all(), "genes that are not asked for have no prediction"
