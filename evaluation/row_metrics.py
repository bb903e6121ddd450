"""Metrics of rows that are drawn with weights, all samples of a bootstrap at once.

Each function takes `weights` of shape `(samples, rows)`, how often each row was drawn, and returns `(samples,)`, NaN
where the metric is undefined. Weights of 1 give the metric itself, as scikit-learn and scipy define it.
"""

from collections.abc import Callable, Sequence

import numpy as np

from textgenome.evaluation.units import Pooled


def auroc(truths: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve, by its identity with the statistic of Mann and Whitney, Ann. Math. Stat. 18:50 (1947).

    Args:
        truths: Whether each row is positive, bool of shape `(rows,)`.
        scores: What ranks the rows, `(rows,)`.
        weights: `(samples, rows)`.
    """
    order, last = _ranked(scores)
    positives, negatives = (_grouped(weights * chosen, order, last) for chosen in (truths, ~truths))
    below = negatives.cumsum(axis=1) - negatives
    with np.errstate(invalid="ignore"):
        return (positives * (below + negatives / 2)).sum(axis=1) / (positives.sum(axis=1) * negatives.sum(axis=1))


def auprc(truths: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Average precision: the area under the steps of the precision-recall curve. For the arguments see `auroc`."""
    order, last = _ranked(-scores)
    positives, rows = (_grouped(each, order, last) for each in (weights * truths, weights))
    total = rows.cumsum(axis=1)
    precision = np.divide(positives.cumsum(axis=1), total, out=np.zeros_like(total), where=total > 0)
    with np.errstate(invalid="ignore"):
        return (precision * positives).sum(axis=1) / positives.sum(axis=1)


def count_classes(truths: np.ndarray, given: np.ndarray, classes: int, weights: np.ndarray) -> np.ndarray:
    """Confusion counts, `(samples, classes, classes)`, truth first. A truth of -1 is not a class: such a row is wrong.

    It counts in a further class, the last one, so that the result has `classes + 1` if there are any.
    """
    unknown = bool((truths < 0).any())
    size = classes + unknown
    cells = np.where(truths < 0, classes, truths) * size + given
    counts = weights @ np.eye(size * size)[cells] if size <= 8 else _count_cells(cells, size * size, weights)
    return counts.reshape(-1, size, size)


def accuracy(counts: np.ndarray) -> np.ndarray:
    """Of confusion counts, see `count_classes`."""
    return counts.trace(axis1=1, axis2=2) / counts.sum(axis=(1, 2))


def mcc(counts: np.ndarray) -> np.ndarray:
    """Matthews' correlation for any number of classes, after Gorodkin, Comput. Biol. Chem. 28:367 (2004).

    0 where all answers, or all truths, are of one class. The argument is that of `accuracy`.
    """
    truths, given, total = counts.sum(axis=2), counts.sum(axis=1), counts.sum(axis=(1, 2))
    covariance = counts.trace(axis1=1, axis2=2) * total - (truths * given).sum(axis=1)
    spread = np.sqrt((total**2 - (truths**2).sum(axis=1)) * (total**2 - (given**2).sum(axis=1)))
    return np.divide(covariance, spread, out=np.zeros_like(spread), where=spread > 0)


def macro_f1(counts: np.ndarray) -> np.ndarray:
    """Mean F1 over the classes that the truth holds. The argument is that of `accuracy`."""
    truths, given = counts.sum(axis=2), counts.sum(axis=1)
    hits = counts.diagonal(axis1=1, axis2=2)
    return _mean_of_known(np.where(truths > 0, f1_of_counts(hits, given - hits, truths - hits), np.nan))


def f1_of_counts(hits: np.ndarray, false_alarms: np.ndarray, misses: np.ndarray) -> np.ndarray:
    """F1 of counts of any shape; NaN where all are 0."""
    with np.errstate(invalid="ignore"):
        return 2 * hits / (2 * hits + false_alarms + misses)


def pearson(truths: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Correlation of two arrays of shape `(rows,)`. 0 if the predictions do not vary, NaN if the truth does not."""
    total = weights.sum(axis=1)
    truths, predictions = truths - truths.mean(), predictions - predictions.mean()  # keeps digits

    def covariance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return weights @ (first * second) / total - (weights @ first) * (weights @ second) / total**2

    return _correlation(
        covariance(truths, predictions), covariance(truths, truths), covariance(predictions, predictions)
    )


def spearman(truths: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Pearson's correlation of the ranks in each sample, ties sharing theirs. For the arguments see `pearson`."""
    total = weights.sum(axis=1, keepdims=True)
    ranks = [_ranks(each, weights) for each in (truths, predictions)]
    first, second = (each - (weights * each).sum(axis=1, keepdims=True) / total for each in ranks)

    def covariance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return (weights * first * second).sum(axis=1) / total[:, 0]

    return _correlation(covariance(first, second), covariance(first, first), covariance(second, second))


def r2(truths: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of the variance that the predictions explain, below 0 where the mean is nearer. See `pearson`."""
    centred = truths - truths.mean()
    spread = weights @ centred**2 - (weights @ centred) ** 2 / weights.sum(axis=1)
    rest = weights @ (truths - predictions) ** 2
    return 1 - np.divide(rest, spread, out=np.full_like(rest, np.nan), where=spread > 1e-12 * (weights @ truths**2))


def measure_classes(truths: np.ndarray, scores: np.ndarray, units: Sequence[int]) -> dict[str, Pooled]:
    """MCC, AUROC, AUPRC, macro F1 and accuracy of a classification with one class a row.

    Args:
        truths: The class of each row, int of shape `(rows,)`, -1 for one that was not trained.
        scores: What ranks the classes of a row, `(rows, classes)`, probabilities or their logarithms. With two classes
            the second one is positive; with more, AUROC and AUPRC are means over each class against the rest.
        units: The number of each row's unit, `(rows,)`, from 0 without a gap.

    Returns:
        By name, for `summarize_units`.
    """
    given, classes = scores.argmax(axis=1), scores.shape[1]
    positive = [1] if classes == 2 else range(classes)

    def of_counts(metric: Callable) -> Callable:
        return lambda weights: metric(count_classes(truths, given, classes, weights))

    def of_ranks(metric: Callable) -> Callable:
        return lambda weights: _mean_of_known(
            np.stack([metric(truths == each, scores[:, each], weights) for each in positive], axis=1)
        )

    metrics = {"mcc": of_counts(mcc), "auroc": of_ranks(auroc), "auprc": of_ranks(auprc)}
    return _by_units({**metrics, "macro_f1": of_counts(macro_f1), "accuracy": of_counts(accuracy)}, units)


def measure_labels(truths: np.ndarray, scores: np.ndarray, units: Sequence[int]) -> dict[str, Pooled]:
    """Macro AUROC, AUPRC, F1 and MCC over labels of which a row may have several, and the share of rows all right.

    Args:
        truths: Whether each row has each label, bool of shape `(rows, labels)`.
        scores: Probabilities, the same shape. From 0.5 on a label is given.
        units: See `measure_classes`.
    """
    given, labels = scores >= 0.5, range(truths.shape[1])

    def of_ranks(metric: Callable) -> Callable:
        return lambda weights: _mean_of_known(
            np.stack([metric(truths[:, each], scores[:, each], weights) for each in labels], axis=1)
        )

    def of_counts(metric: Callable) -> Callable:
        return lambda weights: _mean_of_known(
            np.stack([metric(_label_counts(truths[:, each], given[:, each], weights)) for each in labels], axis=1)
        )

    def all_right(weights: np.ndarray) -> np.ndarray:
        return weights @ (truths == given).all(axis=1) / weights.sum(axis=1)

    metrics = {"auroc": of_ranks(auroc), "auprc": of_ranks(auprc), "macro_f1": of_counts(_f1_of_positives)}
    return _by_units({**metrics, "mcc": of_counts(mcc), "accuracy": all_right}, units)


def measure_values(truths: np.ndarray, predictions: np.ndarray, units: Sequence[int]) -> dict[str, Pooled]:
    """Pearson, Spearman and R2 of a regression, with several targets their means.

    Args:
        truths: `(rows,)` or `(rows, targets)`.
        predictions: The same shape.
        units: See `measure_classes`.
    """
    truths, predictions = (each.reshape(len(each), -1) for each in (truths, predictions))

    def mean(metric: Callable) -> Callable:
        return lambda weights: _mean_of_known(
            np.stack([metric(*each, weights) for each in zip(truths.T, predictions.T)], axis=1)
        )

    return _by_units({"pearson": mean(pearson), "spearman": mean(spearman), "r2": mean(r2)}, units)


def _by_units(metrics: dict[str, Callable], units: Sequence[int]) -> dict[str, Pooled]:
    units = np.asarray(units)
    number = int(units.max()) + 1
    return {
        name: Pooled(number, lambda weights, metric=metric: metric(weights[:, units]))
        for name, metric in metrics.items()
    }


def _label_counts(truths: np.ndarray, given: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return count_classes(truths.astype(int), given.astype(int), 2, weights)


def _f1_of_positives(counts: np.ndarray) -> np.ndarray:
    return f1_of_counts(counts[:, 1, 1], counts[:, 0, 1], counts[:, 1, 0])


def _count_cells(cells: np.ndarray, number: int, weights: np.ndarray) -> np.ndarray:
    return np.stack([np.bincount(cells, each, number) for each in weights])


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    """Mean over the columns, those that are NaN left out."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0).sum(axis=1) / known.sum(axis=1)


def _ranked(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows by ascending score, and the places in that order at which a group of equal scores begins."""
    order = np.argsort(scores, kind="stable")
    ranked = scores[order]
    return order, np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])


def _grouped(weights: np.ndarray, order: np.ndarray, starts: np.ndarray) -> np.ndarray:
    return np.add.reduceat(weights[:, order], starts, axis=1)


def _ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    order, starts = _ranked(values)
    groups = _grouped(weights, order, starts)
    middle = groups.cumsum(axis=1) - (groups - 1) / 2
    sizes = np.diff(np.r_[starts, len(values)])
    ranks = np.empty_like(weights)
    ranks[:, order] = middle.repeat(sizes, axis=1)
    return ranks


def _correlation(covariance: np.ndarray, truths: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    known = truths > 1e-12
    spread = np.sqrt(np.where(known, truths, np.nan) * np.maximum(predictions, 0))
    return np.divide(covariance, spread, out=np.where(known, 0.0, np.nan), where=spread > 1e-12)


__all__ = [
    "accuracy",
    "auprc",
    "auroc",
    "count_classes",
    "f1_of_counts",
    "macro_f1",
    "mcc",
    "measure_classes",
    "measure_labels",
    "measure_values",
    "pearson",
    "r2",
    "spearman",
]
