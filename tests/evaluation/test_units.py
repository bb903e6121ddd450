import json
import math

import numpy as np
import pytest
from scipy.stats import bootstrap

from textgenome.evaluation.row_metrics import f1_of_counts
from textgenome.evaluation.units import Pooled, summarize_units


def test_means_over_units_with_intervals():
    values = np.random.default_rng(0).normal(0.3, 0.1, 40)
    summary = summarize_units({"as_is": {"r": values}})["as_is"]
    assert summary["r"] == pytest.approx(values.mean())
    low, high = summary["r_interval"]
    expected = bootstrap((values,), np.mean, method="percentile", rng=1).confidence_interval
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=0.01)
    assert "r_difference" not in summary


def test_differences_to_the_model_are_paired():
    rng = np.random.default_rng(0)
    hard = rng.normal(0, 1, 50)  # units differ much, conditions little
    measured = {"as_is": {"r": hard}, "baseline": {"r": hard - 0.1 + rng.normal(0, 0.01, 50)}}
    summary = summarize_units(measured)["baseline"]
    low, high = summary["r_difference_interval"]
    assert summary["r_difference"] == pytest.approx(-0.1, abs=0.01) and -0.12 < low < high < -0.08
    assert summary["r_interval"][0] < measured["as_is"]["r"].mean() < summary["r_interval"][1]
    assert summarize_units(measured) == summarize_units(measured) != summarize_units(measured, seed=1)


def test_units_without_a_value_are_left_out():
    summary = summarize_units({"as_is": {"r": [1.0, math.nan, 2.0, 3.0]}})["as_is"]
    assert summary["r"] == 2 and summary["r_interval"][0] >= 1
    nothing = summarize_units({"as_is": {"r": [math.nan] * 3}})["as_is"]
    assert nothing == {"r": None, "r_interval": None}
    json.dumps(nothing, allow_nan=False)


def test_one_unit_has_no_interval():
    assert summarize_units({"as_is": {"r": [0.5]}})["as_is"] == {"r": 0.5, "r_interval": None}
    with pytest.raises(ValueError, match="no unit"):
        summarize_units({"as_is": {"r": []}})


def test_a_metric_of_summed_counts():
    counts = np.random.default_rng(0).integers(0, 50, size=(30, 3))
    metric = Pooled(30, lambda weights: f1_of_counts(*(weights @ counts).T))
    summary = summarize_units({"as_is": {"f1": metric}, "same": {"f1": metric}})
    hits, alarms, misses = counts.sum(axis=0)
    assert summary["as_is"]["f1"] == pytest.approx(2 * hits / (2 * hits + alarms + misses))
    low, high = summary["as_is"]["f1_interval"]
    assert low < summary["as_is"]["f1"] < high
    assert summary["same"]["f1_difference_interval"] == (0, 0)  # the draws are the same


def test_other_units_are_compared_only_if_said():
    measured = {"as_is": {"r": [0.1, 0.2]}, "train_regions": {"r": [0.5, 0.6, 0.7]}}
    with pytest.raises(ValueError, match="train_regions: r has 3 units, but 2 in as_is"):
        summarize_units(measured)
    assert "r_difference" not in summarize_units(measured, unpaired=["train_regions"])["train_regions"]
    assert "r_difference" not in summarize_units({"majority": {"r": [0.1, 0.2]}})["majority"]
