"""Metrics of signals along DNA, from sums by region: Pearson's r of log(1 + signal), and the Poisson deviance."""

from collections.abc import Mapping, Sequence

import numpy as np

from textgenome.evaluation.conditions import AS_IS, Condition
from textgenome.evaluation.metrics import Metric
from textgenome.evaluation.units import Pooled


LEAST = 1e-6  # what a prediction is taken as at least, of which a logarithm is taken
CONDITIONS = {
    AS_IS: Condition("model", "model", "The model reads the DNA of each held-out region."),
    "dna_exchanged": Condition(
        "DNA exchanged",
        "control",
        "The model reads the DNA of another held-out region. What is left of r comes from what regions share, and not "
        "from their DNA.",
    ),
    "in_sample": Condition(
        "training regions",
        "control",
        "The model on regions that it was trained on: what a score on the same regions would show. It tells nothing "
        "of others.",
    ),
    "mean_track": Condition(
        "mean track", "baseline", "The mean over the training regions at each place from their starts on."
    ),
    "gc_cpg": Condition(
        "GC + CpG", "baseline", "Linear regression on the share of G and C and of CpG around a bin, at several scales."
    ),
    "kmer_ridge": Condition(
        "2-3-mers", "baseline", "Ridge regression on the shares of 2- and 3-mers around a bin, at several scales."
    ),
}


def metric_words(groups: Sequence[str], genes: bool) -> dict[str, Metric]:
    """Titles of what `measure_regions` and, with `genes`, `measure_genes` return."""
    words = {
        "pearson": Metric("Pearson r of log1p", chance=0.0),
        "pearson_inside": Metric("r inside regions", chance=0.0),
        "poisson_deviance": Metric("Poisson deviance", higher_is_better=False),
    }
    words |= {"pearson_genes": Metric("r across genes", chance=0.0)} if genes else {}
    return words | {f"pearson_{group}": Metric(f"r of {group}", chance=0.0) for group in dict.fromkeys(groups)}


def signal_sums(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """What the metrics of a region are computed from.

    Args:
        predicted: `(bins, tracks)`.
        truth: The same shape, NaN where nothing is known.

    Returns:
        `(7, tracks)`, float64: the number of known bins; of `a`, the logarithm of 1 + prediction, and `b`, that of 1 +
        truth, the sums of `a`, `b`, `a^2`, `b^2` and `a b`; and that of the Poisson deviance.
    """
    known = ~np.isnan(truth)
    predicted = np.where(known, predicted, 0).astype(np.float64)
    truth = np.where(known, truth, 0).astype(np.float64)
    a, b = _log1p(predicted), _log1p(truth)
    mean = np.maximum(predicted, LEAST)
    deviance = 2 * (np.where(truth > 0, truth * np.log(np.maximum(truth, LEAST) / mean), 0) - truth + mean)
    return np.stack([known, a, b, a * a, b * b, a * b, np.where(known, deviance, 0)]).sum(axis=1)


def _log1p(signal: np.ndarray) -> np.ndarray:
    return np.sign(signal) * np.log1p(np.abs(signal))


def pearson_of_sums(sums: np.ndarray) -> np.ndarray:
    """Pearson's r of `(..., 7, tracks)`: `(..., tracks)`, 0 for a constant prediction, NaN for a constant truth."""
    count, a, b, aa, bb, ab, _ = np.moveaxis(sums, -2, 0)
    spread = np.maximum(count * aa - a * a, 0), np.maximum(count * bb - b * b, 0)
    # Below this there is nothing but the rounding of the sums.
    constant, unknown = (each <= 1e-9 * np.maximum(count * square, 1e-30) for each, square in zip(spread, (aa, bb)))
    with np.errstate(invalid="ignore", divide="ignore"):
        r = (count * ab - a * b) / np.sqrt(spread[0] * spread[1])
    return np.where(unknown, np.nan, np.where(constant, 0, r))


def measure_regions(sums: np.ndarray, groups: Sequence[str]) -> dict[str, Pooled | np.ndarray]:
    """The metrics of a condition, for `summarize_units`. Those of tracks are means over them.

    Args:
        sums: `(regions, 7, tracks)`, see `signal_sums`.
        groups: Of each track.

    Returns:
        `pearson`, pooled over all regions; `pearson_inside`, of each region by itself; `poisson_deviance`, by bin; and
        `pearson_GROUP` for the tracks of each group.
    """
    every = np.ones(sums.shape[-1], dtype=bool)
    measured = {"pearson": _pooled(sums, every), "pearson_inside": _mean(pearson_of_sums(sums))}
    measured["poisson_deviance"] = Pooled(len(sums), lambda weights: _deviance(_weigh(weights, sums)))
    names = np.array(groups)
    return measured | {f"pearson_{group}": _pooled(sums, names == group) for group in dict.fromkeys(groups)}


def measure_genes(sums: np.ndarray) -> dict[str, Pooled]:
    """`pearson_genes`, Pearson's r across genes: `sums` is `(genes, 7, tracks)`, of one value a gene and track."""
    return {"pearson_genes": _pooled(sums, np.ones(sums.shape[-1], dtype=bool))}


def gene_values(signal: np.ndarray, bins: Sequence[np.ndarray], strands: np.ndarray) -> np.ndarray:
    """The mean signal of genes, on their own strand.

    Args:
        signal: Of a region, `(bins, tracks)`.
        bins: For each gene in it the bins that its exons touch.
        strands: `(genes, tracks)`, bool: whether a track tells of the strand of a gene.

    Returns:
        `(genes, tracks)`, NaN where a track does not.
    """
    values = np.array([np.nanmean(signal[each], axis=0) for each in bins]).reshape(-1, signal.shape[1])
    return np.where(strands, values, np.nan)


def by_track(sums: Mapping[str, np.ndarray], names: Sequence[str], groups: Sequence[str]) -> list[list]:
    """A row for each track: its name, its group, and Pearson's r of each condition, pooled over regions."""
    found = [pearson_of_sums(each.sum(axis=0)) for each in sums.values()]
    return [[name, group, *(float(r[i]) for r in found)] for i, (name, group) in enumerate(zip(names, groups))]


def _weigh(weights: np.ndarray, sums: np.ndarray) -> np.ndarray:
    return np.tensordot(weights, sums, axes=1)


def _pooled(sums: np.ndarray, tracks: np.ndarray) -> Pooled:
    return Pooled(len(sums), lambda weights: _mean(pearson_of_sums(_weigh(weights, sums[..., tracks]))))


def _mean(values: np.ndarray) -> np.ndarray:
    """The mean over tracks of those that are defined, NaN if none is."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0).sum(-1) / known.sum(-1)


def _deviance(sums: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return _mean(sums[..., 6, :] / sums[..., 0, :])


__all__ = [
    "CONDITIONS",
    "by_track",
    "gene_values",
    "measure_genes",
    "measure_regions",
    "metric_words",
    "pearson_of_sums",
    "signal_sums",
]
