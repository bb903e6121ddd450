"""Metrics and baselines of signals along DNA."""

import numpy as np
import pytest
from conftest import random_dna

from textgenome.evaluation.track_baselines import TrackBaselines, word_shares
from textgenome.evaluation.track_metrics import (
    gene_values,
    measure_genes,
    measure_regions,
    pearson_of_sums,
    signal_sums,
)
from textgenome.evaluation.units import summarize_units


GROUPS = ["A", "B", "B"]
RNG = np.random.default_rng(0)
TRUTH = [RNG.gamma(0.5, 2, (bins, 3)) for bins in (50, 80, 20)]
PREDICTED = [truth * RNG.lognormal(0, 1, truth.shape) for truth in TRUTH]


def sums(predicted=PREDICTED, truth=TRUTH):
    return np.stack([signal_sums(one, other) for one, other in zip(predicted, truth)])


def r_of(one, other):
    return np.corrcoef(np.log1p(one), np.log1p(other))[0, 1]


def test_metrics_are_those_of_all_bins_and_of_each_region():
    found = summarize_units({"as_is": measure_regions(sums(), GROUPS)})["as_is"]
    pooled = [r_of(*(np.concatenate(each)[:, track] for each in (PREDICTED, TRUTH))) for track in range(3)]
    assert found["pearson"] == pytest.approx(np.mean(pooled)) and found["pearson_A"] == pytest.approx(pooled[0])
    assert found["pearson_B"] == pytest.approx(np.mean(pooled[1:]))
    inside = [r_of(one[:, track], other[:, track]) for one, other in zip(PREDICTED, TRUTH) for track in range(3)]
    assert found["pearson_inside"] == pytest.approx(np.mean(inside))
    y, p = np.concatenate(TRUTH), np.concatenate(PREDICTED)
    assert found["poisson_deviance"] == pytest.approx(np.mean(2 * (y * np.log(y / p) - y + p)))
    low, high = found["pearson_interval"]
    assert low <= found["pearson"] <= high and low < high


def test_what_is_unknown_counts_nowhere():
    holes = [truth.copy() for truth in TRUTH]
    holes[0][10:, :] = np.nan
    shorter = [truth[:10] if i == 0 else truth for i, truth in enumerate(TRUTH)]
    cut = [predicted[:10] if i == 0 else predicted for i, predicted in enumerate(PREDICTED)]
    np.testing.assert_allclose(sums(truth=holes), sums(cut, shorter))


def test_a_constant_prediction_has_no_correlation_and_a_constant_truth_none_that_is_defined():
    flat = np.full_like(TRUTH[0], 0.1)
    assert (pearson_of_sums(signal_sums(flat, TRUTH[0])) == 0).all()
    assert np.isnan(pearson_of_sums(signal_sums(TRUTH[0], flat))).all()
    found = summarize_units({"as_is": measure_regions(sums([flat], [TRUTH[0]]), GROUPS)})["as_is"]
    assert found["pearson"] == 0 and found["pearson_interval"] is None


def test_genes_are_measured_on_their_own_strand():
    signal = np.arange(12.0).reshape(6, 2)
    values = gene_values(signal, [np.array([0, 1]), np.array([5])], np.array([[True, False], [True, True]]))
    assert values[0, 0] == 1 and np.isnan(values[0, 1]) and values[1].tolist() == [10, 11]
    truth = RNG.gamma(1, 2, (9, 2))
    found = measure_genes(np.array([signal_sums(each[None] * 2, each[None]) for each in truth]))
    expected = [r_of(2 * truth[:, i], truth[:, i]) for i in range(2)]
    assert found["pearson_genes"].compute(np.ones((1, 9)))[0] == pytest.approx(np.mean(expected))


def test_shares_of_words_at_scales():
    shares = word_shares("ACACACAC" + "NNGTGTGT" * 9, 10, 8)
    assert shares.shape == (10, 3 * 80)
    assert shares[0, 1] == 4 / 8  # AC, and the last one starts before an N
    assert shares[1, 11] == 3 / 8  # GT
    # Eight bins around the fourth are all of the first eight.
    np.testing.assert_allclose(shares[4, 80:160], shares[:8, :80].mean(0))


def signal_of(sequence, word, step=32):
    return np.array([[sequence[i : i + step].count(word)] for i in range(0, len(sequence), step)], dtype=np.float32)


@pytest.mark.parametrize(("word", "best"), [("CG", "gc_cpg"), ("TAC", "kmer_ridge")])
def test_regressions_find_what_the_signal_follows(word, best):
    baselines, sequences = TrackBaselines(1, 32), [random_dna(3200, seed) for seed in range(12)]
    for sequence in sequences[:11]:
        baselines.add(sequence, signal_of(sequence, word))
    baselines.fit()
    truth = signal_of(sequences[11], word)
    r = {
        name: pearson_of_sums(signal_sums(signal, truth))[0]
        for name, signal in baselines.predict(sequences[11], 100).items()
    }
    assert r[best] > 0.9 and r["kmer_ridge"] > 0.9 and abs(r["mean_track"]) < 0.3
    assert word == "CG" or r["gc_cpg"] < 0.5


@pytest.mark.parametrize("resolution", [1, 5, 128])
def test_baselines_of_any_resolution_have_a_value_a_bin(resolution):
    baselines = TrackBaselines(2, resolution)
    for seed in range(6):
        signal = np.random.default_rng(seed).gamma(1, 1, (640 // resolution, 2)).astype(np.float32)
        signal[:3] = np.nan
        baselines.add(random_dna(640, seed), signal)
    baselines.fit()
    bins = -(-700 // resolution)
    for signal in baselines.predict(random_dna(700), bins).values():
        assert signal.shape == (bins, 2) and np.isfinite(signal).all() and (signal >= 0).all()


def test_the_mean_track_is_that_of_each_place():
    baselines = TrackBaselines(1, 32)
    for value in (1, 3):
        baselines.add(random_dna(96), np.array([[value], [value * 2], [np.nan]], dtype=np.float32))
    baselines.fit()
    assert baselines.predict(random_dna(128), 4)["mean_track"][:, 0].tolist() == [2, 4, 3, 3]
