"""Trivial baselines: what a model must beat before its accuracy says anything about DNA.

Their settings are fixed, never chosen on the rows they are evaluated on.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping

from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from transformers.utils import logging

from textgenome.genome.progress import Progress
from textgenome.processing.processing_dna import normalize_dna


logger = logging.get_logger(__name__)

NEIGHBOUR_K = 16
COMPOSITION_K = 6
INVERSE_REGULARIZATION = 100.0
MAX_ITERATIONS = 1000


def predict_baselines(train_rows: list[Mapping], rows: list[Mapping]) -> dict[str, list[str]]:
    """Fit the baselines on the rows that a model trains on, and predict the answers of others.

    - `majority`: the most frequent answer.
    - `question_lookup`: the most frequent answer to exactly this question, else the majority.
    - `question_tfidf`: logistic regression on the words of the question.
    - `reference_16mers`: the answer of the training row whose reference shares most distinct 16-mers, the first of
      those that tie.
    - `reference_6mers`: logistic regression on the 6-mer counts of the reference, scaled to unit length.

    Args:
        train_rows: Rows with `answer`, `reference_sequence`, `variant_sequence` and perhaps `question`.
        rows: Rows with the same columns; their answers are not read.

    Returns:
        The predicted answers, one a row, by the name of the baseline. Answers are spelt as in `train_rows`. Those that
        need a question are left out where there is none.
    """
    answers = [row["answer"] for row in train_rows]
    if len(set(answers)) == 1:  # nothing to learn, which a regression refuses
        return {name: answers[:1] * len(rows) for name in BASELINES}
    predictions = {}
    progress = Progress(BASELINES.items(), desc="Fitting baselines", unit="baseline")
    for name, (features, predict) in progress:
        if features is _question and any(row.get("question") is None for row in (*train_rows, *rows)):
            continue
        try:
            predictions[name] = predict(
                [features(row) for row in train_rows], answers, [features(row) for row in rows]
            )
        except ValueError as error:
            # As where every reference is shorter than a 16-mer.
            logger.warning(f"The baseline {name!r} cannot be fitted to these rows and is left out: {error}")
    return predictions


def _question(row: Mapping) -> str:
    return row["question"]


def _reference(row: Mapping) -> str:
    return normalize_dna(row["reference_sequence"])


def _majority(train: list[str], answers: list[str], given: list[str]) -> list[str]:
    return [Counter(answers).most_common(1)[0][0]] * len(given)


def _look_up(train: list[str], answers: list[str], given: list[str]) -> list[str]:
    seen = defaultdict(Counter)
    for question, answer in zip(train, answers):
        seen[question][answer] += 1
    return [seen.get(question, Counter(answers)).most_common(1)[0][0] for question in given]


def _tfidf_regression(train: list[str], answers: list[str], given: list[str]) -> list[str]:
    model = make_pipeline(TfidfVectorizer(), _regression())
    return model.fit(train, answers).predict(given).tolist()


def _nearest_neighbour(train: list[str], answers: list[str], given: list[str]) -> list[str]:
    kmers = _kmer_counts(NEIGHBOUR_K, binary=True)
    shared = kmers.fit_transform(train) @ kmers.transform(given).T
    return [answers[i] for i in shared.toarray().argmax(axis=0)]


def _kmer_regression(train: list[str], answers: list[str], given: list[str]) -> list[str]:
    model = make_pipeline(_kmer_counts(COMPOSITION_K), Normalizer(), _regression())
    return model.fit(train, answers).predict(given).tolist()


def _kmer_counts(k: int, binary: bool = False) -> CountVectorizer:
    return CountVectorizer(analyzer="char", ngram_range=(k, k), lowercase=False, binary=binary)


def _regression() -> LogisticRegression:
    return LogisticRegression(C=INVERSE_REGULARIZATION, max_iter=MAX_ITERATIONS)


BASELINES: dict[str, tuple[Callable, Callable]] = {
    "majority": (_reference, _majority),
    "question_lookup": (_question, _look_up),
    "question_tfidf": (_question, _tfidf_regression),
    "reference_16mers": (_reference, _nearest_neighbour),
    "reference_6mers": (_reference, _kmer_regression),
}

__all__ = ["predict_baselines"]
