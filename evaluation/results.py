"""From the answers to rows to the figures of each condition."""

import math
from collections.abc import Mapping

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
    records: list[Mapping],
    truths: list[str],
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
    answers = [answer_of(record) for record in records]
    summary = {**find_condition(condition)._asdict(), **score_answers(truths, answers, synonyms, seed)}
    if len(set(answers)) == 1 and len(summary["per_class"]) > 1:
        summary["only_answer"] = answers[0] or "none"
    if "output" in records[0]:
        texts, number = [record["output"] for record in records], len(records)
        entries = [extract_single_entry(text) for text in texts]
        summary |= {
            "tokens_per_answer": sum(record["tokens"] for record in records) / number,
            "accuracy_single_entry": sum(e == t.strip().lower() for e, t in zip(entries, truths)) / number,
            "truth_anywhere": sum(truth_anywhere(text, truth) for text, truth in zip(texts, truths)) / number,
        }
    if "scores" in records[0]:
        summary |= _score_reliability([record["scores"] for record in records], truths)
    return summary


def answer_of(record: Mapping) -> str | None:
    """The answer of a record: as given, parsed from the output, or the label with the best score."""
    if "answer" in record:
        return record["answer"]
    if "output" in record:
        return extract_answer(record["output"])
    return normalize_answer(max(record["scores"], key=record["scores"].get))


def compare(records: list[Mapping], with_records: list[Mapping], truths: list[str], seed: int = 0) -> dict:
    """The difference to another condition on the same rows.

    Returns:
        `accuracy_difference` with `accuracy_difference_interval` (see `summarize_units`), and the test of `mcnemar`.
    """
    right, with_right = (
        [is_right(answer_of(record), truth) for record, truth in zip(each, truths)] for each in (records, with_records)
    )
    measured = {AS_IS: {"accuracy": with_right}, "compared": {"accuracy": right}}
    compared = summarize_units(measured, seed=seed)["compared"]
    differences = {name: compared[name] for name in compared if "difference" in name}
    return {**differences, **mcnemar(right, with_right)}


def _score_reliability(scores: list[dict[str, float]], truths: list[str]) -> dict:
    best = [max(row, key=row.get) for row in scores]
    confidences = [math.exp(row[label]) for row, label in zip(scores, best)]
    right = [is_right(normalize_answer(label), truth) for label, truth in zip(best, truths)]
    bins = []
    for i in range(BINS):
        rows = [n for n, confidence in enumerate(confidences) if min(int(confidence * BINS), BINS - 1) == i]
        if rows:
            bins.append(
                {
                    "low": i / BINS,
                    "high": (i + 1) / BINS,
                    "rows": len(rows),
                    "confidence": sum(confidences[n] for n in rows) / len(rows),
                    "accuracy": sum(right[n] for n in rows) / len(rows),
                }
            )
    return {"scored_accuracy": sum(right) / len(right), "reliability": bins}


__all__ = ["answer_of", "compare", "describe_answers", "summarize"]
