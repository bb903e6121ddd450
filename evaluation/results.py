"""From the answers to rows to the figures of each condition."""

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter

import numpy as np

from textgenome.evaluation.conditions import AS_IS, find_condition
from textgenome.evaluation.metrics import METRICS, mcnemar, score_answers
from textgenome.evaluation.units import summarize_units
from textgenome.inference.answers import (
    extract_answer,
    extract_single_entry,
    is_right,
    normalize_answer,
    truth_anywhere,
)


BINS = 10
# In the order of the columns.
ANSWER_METRICS = (
    *("accuracy", "macro_f1", "no_answer", "accuracy_with_synonyms", "scored_accuracy", "macro_precision"),
    *("macro_recall", "tokens_per_answer", "accuracy_single_entry", "truth_anywhere"),
)


def describe_answers(conditions: Mapping[str, Mapping]) -> dict:
    """What a table and a verdict about conditions (see `summarize`) need to know of their metrics."""
    found = [name for name in ANSWER_METRICS if any(name in summary for summary in conditions.values())]
    metrics = {name: METRICS[name]._asdict() for name in found}
    return {"task": "answers", "unit": "row", "metric": "accuracy", "metrics": metrics}


def summarize(
    condition: str,
    records: Sequence[Mapping],
    truths: Sequence[str],
    synonyms: dict[str, str] | None = None,
    seed: int = 0,
) -> dict:
    """Score what is known of all rows under one condition.

    Args:
        condition: Its name in `CONDITIONS`.
        records: One for each row, in their order, with `output` and `tokens`, with `scores`, or with `answer`.
        truths: The true answers.
        synonyms: See `score_answers`.
        seed: See `score_answers`.

    Returns:
        `title`, `kind` and `meaning` of the condition, and what `score_answers` returns for the answers: generated, or
        else the best-scored labels; `only_answer`, if all rows get the same one and not all have the same truth. Of a
        generation also `tokens_per_answer` and the predecessors' figures, `accuracy_single_entry` and
        `truth_anywhere`; of scores also `scored_accuracy` and `reliability`, a list of bins with `low`, `high`,
        `rows`, `confidence` and `accuracy`.
    """
    answers = answers_of(records)
    summary = {**find_condition(condition)._asdict(), **score_answers(truths, answers, synonyms, seed)}
    if len(set(answers)) == 1 and len(summary["per_class"]) > 1:
        summary["only_answer"] = answers[0] or "none"
    if "output" in records[0]:
        summary |= _describe_outputs(records, truths)
    if "scores" in records[0]:
        summary |= _score_reliability(records, truths)
    return summary


def answers_of(records: Iterable[Mapping]) -> list[str | None]:
    """Answers that are alike are one string in memory."""
    answers = (answer_of(record) for record in records)
    return [answer and sys.intern(answer) for answer in answers]


def _describe_outputs(records: Sequence[Mapping], truths: Sequence[str]) -> dict:
    tokens = entries = anywhere = 0
    for record, truth in zip(records, truths):
        tokens += record["tokens"]
        entries += extract_single_entry(record["output"]) == truth.strip().lower()
        anywhere += truth_anywhere(record["output"], truth)
    number = len(records)
    return {
        "tokens_per_answer": tokens / number,
        "accuracy_single_entry": entries / number,
        "truth_anywhere": anywhere / number,
    }


def answer_of(record: Mapping) -> str | None:
    """The answer of a record: as given, parsed from the output, or the label with the best score."""
    if "answer" in record:
        return record["answer"]
    if "output" in record:
        return extract_answer(record["output"])
    return normalize_answer(max(record["scores"], key=record["scores"].get))


def compare(records: Sequence[Mapping], with_records: Sequence[Mapping], truths: Sequence[str], seed: int = 0) -> dict:
    """The difference to another condition on the same rows.

    Returns:
        `accuracy_difference` with `accuracy_difference_interval` (see `summarize_units`), and the test of `mcnemar`.
    """
    right, with_right = (
        np.array([is_right(answer_of(record), truth) for record, truth in zip(each, truths)])
        for each in (records, with_records)
    )
    measured = {AS_IS: {"accuracy": with_right}, "compared": {"accuracy": right}}
    compared = summarize_units(measured, seed=seed)["compared"]
    differences = {name: compared[name] for name in compared if "difference" in name}
    return {**differences, **mcnemar(right, with_right)}


def _score_reliability(records: Sequence[Mapping], truths: Sequence[str]) -> dict:
    confidences, right = np.zeros(len(records)), np.zeros(len(records), dtype=bool)
    for i, (record, truth) in enumerate(zip(records, truths)):
        label, score = max(record["scores"].items(), key=itemgetter(1))
        confidences[i], right[i] = math.exp(score), is_right(normalize_answer(label), truth)
    places = np.minimum((confidences * BINS).astype(int), BINS - 1)
    bins = [
        {
            "low": i / BINS,
            "high": (i + 1) / BINS,
            "rows": int((places == i).sum()),
            "confidence": float(confidences[places == i].mean()),
            "accuracy": float(right[places == i].mean()),
        }
        for i in range(BINS)
        if (places == i).any()
    ]
    return {"scored_accuracy": float(right.mean()), "reliability": bins}


__all__ = ["answer_of", "answers_of", "compare", "describe_answers", "summarize"]
