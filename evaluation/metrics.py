"""Names of metrics; scores of answers with their intervals, and paired tests between two sets of them."""

import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import precision_recall_fscore_support

from textgenome.inference.answers import normalize_answer


BOOTSTRAP_SAMPLES = 1000
SAMPLES_AT_A_TIME = 50  # at most: bounds the memory that metrics of many rows take
LARGEST = 500_000  # most counts at a time
MACRO = ("macro_precision", "macro_recall", "macro_f1")


class Metric(NamedTuple):
    """What tables and verdicts say of a metric.

    Attributes:
        title: What tables show.
        chance: Its value where predictions know nothing, or None if that depends on the rows.
        higher_is_better: False of errors and deviances.
    """

    title: str
    chance: float | None = None
    higher_is_better: bool = True


METRICS = {
    "accuracy": Metric("accuracy"),
    "accuracy_with_synonyms": Metric("accuracy, synonyms folded"),
    "scored_accuracy": Metric("accuracy by score"),
    "mcc": Metric("MCC", chance=0.0),
    "auroc": Metric("AUROC", chance=0.5),
    "auprc": Metric("AUPRC"),
    "pearson": Metric("Pearson r", chance=0.0),
    "spearman": Metric("Spearman r", chance=0.0),
    "r2": Metric("R²", chance=0.0),
    "mean_absolute_error": Metric("mean absolute error", higher_is_better=False),
    "base_f1": Metric("F1 by base"),
    "identity": Metric("residue identity"),
    "macro_precision": Metric("macro precision"),
    "macro_recall": Metric("macro recall"),
    "macro_f1": Metric("macro F1"),
    "no_answer": Metric("without answer", higher_is_better=False),
    "tokens_per_answer": Metric("tokens per answer", higher_is_better=False),
    "accuracy_single_entry": Metric("first line with “answer:”"),
    "truth_anywhere": Metric("truth anywhere in output (does not measure answers)"),
}


def accuracy_interval(right: int, total: int) -> tuple[float, float]:
    """95 % interval of a share, after Wilson, J. Am. Stat. Assoc. 22:209 (1927)."""
    interval = binomtest(right, total).proportion_ci(confidence_level=0.95, method="wilson")
    return float(interval.low), float(interval.high)


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> dict[str, float]:
    """Exact test of McNemar, Psychometrika 12:153 (1947): do two answers to the same rows differ in accuracy?

    Args:
        first: For each row, whether the one answer is right.
        second: For each row, whether the other one is.

    Returns:
        `only_first` and `only_second`, how many rows only one of them has right, and the two-sided `p_value`.
    """
    first, second = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if first.shape != second.shape:
        raise ValueError(f"A paired test needs the same rows twice, got {len(first)} and {len(second)}.")
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    differing = only_first + only_second
    p_value = binomtest(only_first, differing).pvalue if differing else 1.0
    return {"only_first": only_first, "only_second": only_second, "p_value": float(p_value)}


def score_answers(
    truths: Sequence[str],
    answers: Sequence[str | None],
    synonyms: dict[str, str] | None = None,
    seed: int = 0,
) -> dict:
    """Score answers against the truth. Both are normalised; a missing answer, None or blank, counts as wrong.

    Args:
        truths: The true answer of each row, at least one.
        answers: The answer to each row.
        synonyms: Which names mean which other one; only `accuracy_with_synonyms` folds them.
        seed: Of the bootstrap.

    Returns:
        `accuracy` with `accuracy_interval` (95 %, Wilson); `macro_precision`, `macro_recall` and `macro_f1` over the
        labels of the truth, undefined ones counting as 1, with `..._interval` (95 %, bootstrap percentiles of 1,000
        samples of the rows) and `..._zero_division_0`, where they count as 0; `no_answer`, the share of rows without
        an answer; `accuracy_with_synonyms`, if there are any; `per_class`, a list of `label`, `rows`, `precision`,
        `recall` and `f1`, in which an undefined one is 0. All between 0 and 1 but `rows`.
    """
    if not truths or len(truths) != len(answers):
        raise ValueError(f"Need an answer to each of at least one row, got {len(answers)} to {len(truths)}.")
    truths = [sys.intern(normalize_answer(truth)) for truth in truths]
    answers = [sys.intern(normalize_answer(answer or "")) or None for answer in answers]
    right = sum(truth == answer for truth, answer in zip(truths, answers))
    scores = {
        "rows": len(truths),
        "accuracy": right / len(truths),
        "accuracy_interval": accuracy_interval(right, len(truths)),
        "no_answer": answers.count(None) / len(truths),
    }
    if synonyms:
        folded = {normalize_answer(name): normalize_answer(meaning) for name, meaning in synonyms.items()}
        same = sum(folded.get(truth, truth) == folded.get(answer, answer) for truth, answer in zip(truths, answers))
        scores["accuracy_with_synonyms"] = same / len(truths)

    # As numbers: the bootstrap scores them a thousand times.
    names = sorted(set(truths))
    numbers = {name: number for number, name in enumerate(names)}
    true = np.array([numbers[truth] for truth in truths])
    given = np.array([numbers.get(answer, -1) for answer in answers])
    for suffix, zero_division in (("", 1.0), ("_zero_division_0", 0.0)):
        macro = precision_recall_fscore_support(
            true, given, labels=range(len(names)), average="macro", zero_division=zero_division
        )
        scores |= {f"{name}{suffix}": float(value) for name, value in zip(MACRO, macro)}
    low, high = np.percentile(resample_macro(true, given, len(names), seed), (2.5, 97.5), axis=0)
    scores |= {f"{name}_interval": (float(low[i]), float(high[i])) for i, name in enumerate(MACRO)}
    columns = precision_recall_fscore_support(true, given, labels=range(len(names)), zero_division=0.0)
    scores["per_class"] = [
        {"label": name, "rows": int(rows), "precision": float(p), "recall": float(r), "f1": float(f)}
        for name, p, r, f, rows in zip(names, *columns)
    ]
    return scores


def resample_macro(true: np.ndarray, given: np.ndarray, labels: int, seed: int) -> np.ndarray:
    """Bootstrap of the macro scores, after Efron, Ann. Stat. 7:1 (1979), many samples at once.

    Args:
        true: The label of each row, `(rows,)`, from 0 to `labels` - 1.
        given: The answer to each, the same, or -1 for any other.
        labels: How many there are.
        seed: Of the samples.

    Returns:
        Macro precision, recall and F1 of each sample, `(samples, 3)`, over the labels that the truth of the sample
        holds; undefined scores count as 1.
    """
    columns = [each[:, None] == np.arange(labels) for each in (true, given)]
    columns = [each.astype(float) for each in (columns[0] & columns[1], *columns)]
    parts = [[drawn @ each for each in columns] for drawn in draw_samples(len(true), seed)]
    hits, supports, answers = (np.concatenate(part) for part in zip(*parts))
    with np.errstate(invalid="ignore"):
        precision = np.where(answers > 0, hits / answers, 1.0)
        scores = np.stack([precision, hits / supports, 2 * hits / (supports + answers)])
    return np.nanmean(np.where(supports > 0, scores, np.nan), axis=-1).T


def draw_samples(units: int, seed: int) -> Iterator[np.ndarray]:
    """How often each unit is in each of `BOOTSTRAP_SAMPLES` samples with replacement, some samples at a time.

    Yields:
        Counts of shape `(samples, units)`, float64, a few MB of them. They depend on the arguments only.
    """
    generator, at_a_time = np.random.default_rng(seed), max(1, min(SAMPLES_AT_A_TIME, LARGEST // units))
    for start in range(0, BOOTSTRAP_SAMPLES, at_a_time):
        number = min(at_a_time, BOOTSTRAP_SAMPLES - start)
        yield generator.multinomial(units, np.full(units, 1 / units), number).astype(float)


__all__ = ["METRICS", "Metric", "accuracy_interval", "draw_samples", "mcnemar", "resample_macro", "score_answers"]
