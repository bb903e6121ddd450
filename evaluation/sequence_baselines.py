"""Baselines of every table of sequences, or of pairs of them: what a model must beat before it says anything.

Their settings are fixed, never chosen on the rows they are evaluated on.
"""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.preprocessing import Normalizer

from textgenome.evaluation.baselines import INVERSE_REGULARIZATION, MAX_ITERATIONS
from textgenome.evaluation.kmers import count_kmers
from textgenome.evaluation.small_cnn import predict_small_cnn


ALPHAS = np.logspace(-3, 3, 7)  # of the ridge regression, chosen by leaving out each train row
LABELS_SHUFFLED = "labels_shuffled"


def predict_sequence_baselines(
    train: Sequence[tuple[str, ...]],
    targets: np.ndarray,
    sequences: Sequence[tuple[str, ...]],
    problem_type: str,
    outputs: int,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Fit the baselines on the train rows, and predict others.

    - `majority`: how frequent each class or label is among the train rows; of a regression `mean`.
    - `substitution`, of pairs: logistic regression, or ridge regression, on the change and the bases beside it.
    - `kmers`: the same on the counts of 3-, 4- and 5-mers, scaled to unit length; of pairs, on those of the reference
      and on what changes.
    - `small_cnn`: see `predict_small_cnn`.
    - `labels_shuffled`, a control: the same network, trained with the labels in random order.

    Args:
        train: See `predict_small_cnn`; so are the others.
        targets: As there.
        sequences: As there.
        problem_type: As there.
        outputs: As there.
        seed: As there.

    Returns:
        By name of the condition what `predict_small_cnn` returns.
    """
    table = (targets, problem_type, outputs)
    predictions = {"mean" if problem_type == "regression" else "majority": _predict_constant(*table, len(sequences))}
    if len(np.unique(targets, axis=0)) < 2:
        return predictions  # nothing to learn
    if len(train[0]) == 2:
        changes = DictVectorizer()
        features = changes.fit_transform([describe_change(*row) for row in train])
        others = changes.transform([describe_change(*row) for row in sequences])
        predictions["substitution"] = _predict_linear(features, others, *table)
    predictions["kmers"] = _predict_linear(_kmer_features(train), _kmer_features(sequences), *table)
    network = (sequences, problem_type, outputs, seed)
    predictions["small_cnn"] = predict_small_cnn(train, targets, *network)
    shuffled = np.random.default_rng(seed).permutation(targets)
    predictions[LABELS_SHUFFLED] = predict_small_cnn(train, shuffled, *network, "Training it on shuffled labels")
    return predictions


def describe_change(reference: str, variant: str) -> dict[str, str]:
    """The change of a pair and the base on either side of it, as features by name."""
    shorter = min(len(reference), len(variant))
    start = next((i for i in range(shorter) if reference[i] != variant[i]), shorter)
    kept = next((i for i in range(shorter - start) if reference[-1 - i] != variant[-1 - i]), shorter - start)
    old, new = reference[start : len(reference) - kept], variant[start : len(variant) - kept]
    context = f"{reference[max(0, start - 1) : start]}{old[:1]}{reference[len(reference) - kept :][:1]}"
    if len(old) == len(new) == 1:
        return {"change": f"{old}>{new}", "context": context, "both": f"{context}>{new}"}
    kind = "insertion" if not old else "deletion" if not new else "other"
    return {"change": kind, "length": f"{kind} of {min(abs(len(new) - len(old)), 20)}", "context": context}


def _kmer_features(rows: Sequence[tuple[str, ...]]) -> csr_matrix:
    first, *others = [count_kmers([row[i] for row in rows]) for i in range(len(rows[0]))]
    parts = [Normalizer().transform(first), *(Normalizer().transform(each - first) for each in others)]
    return hstack(parts, "csr")


def _predict_constant(targets: np.ndarray, problem_type: str, outputs: int, rows: int) -> np.ndarray:
    if problem_type == "regression":
        return np.full(rows, targets.mean())
    shares = targets.mean(axis=0) if targets.ndim == 2 else np.bincount(targets, minlength=outputs) / len(targets)
    return np.tile(shares, (rows, 1))


def _predict_linear(
    features: csr_matrix, others: csr_matrix, targets: np.ndarray, problem_type: str, outputs: int
) -> np.ndarray:
    if problem_type == "regression":
        return RidgeCV(ALPHAS).fit(features, targets).predict(others)
    if targets.ndim == 1:
        return _predict_classes(features, others, targets, outputs)
    return np.stack([_predict_classes(features, others, each, 2)[:, 1] for each in targets.T.astype(int)], axis=1)


def _predict_classes(features: csr_matrix, others: csr_matrix, targets: np.ndarray, outputs: int) -> np.ndarray:
    predictions, known = np.zeros((others.shape[0], outputs)), np.unique(targets)
    if len(known) == 1:
        predictions[:, known] = 1
        return predictions
    model = LogisticRegression(C=INVERSE_REGULARIZATION, max_iter=MAX_ITERATIONS)
    predictions[:, known] = model.fit(features, targets).predict_proba(others)
    return predictions


__all__ = ["LABELS_SHUFFLED", "describe_change", "predict_sequence_baselines"]
