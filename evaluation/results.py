"""From predictions to the table of results."""

import math
import shutil
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from textgenome.evaluation.conditions import AS_IS, CONDITIONS
from textgenome.evaluation.metrics import mcnemar, score_answers
from textgenome.inference.answers import (
    extract_answer,
    extract_single_entry,
    is_right,
    normalize_answer,
    truth_anywhere,
)


PACKAGES = ("textgenome", "torch", "transformers", "peft", "tokenizers", "scikit-learn")
BINS = 10


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
        else the best-scored labels. Of a generation also `tokens_per_answer` and the predecessors' figures,
        `accuracy_single_entry` and `truth_anywhere`; of scores also `scored_accuracy` and `reliability`, a list of
        bins with `low`, `high`, `rows`, `confidence` and `accuracy`.
    """
    answers = [answer_of(record) for record in records]
    summary = {**CONDITIONS[condition]._asdict(), **score_answers(truths, answers, synonyms, seed)}
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


def compare(records: list[Mapping], with_records: list[Mapping], truths: list[str]) -> dict:
    """The difference in accuracy to another condition on the same rows, as `difference`, and the test of `mcnemar`."""
    right, with_right = (
        [is_right(answer_of(record), truth) for record, truth in zip(each, truths)] for each in (records, with_records)
    )
    test = mcnemar(right, with_right)
    return {"difference": (test["only_first"] - test["only_second"]) / len(truths), **test}


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


def versions() -> dict[str, str | None]:
    """Of the packages that a result may depend on, and of this one its commit, if it runs from a checkout."""
    found = {name: metadata.version(name) for name in PACKAGES}
    checkout, commit = Path(__file__).resolve().parents[1], None
    if (checkout / ".git").exists() and shutil.which("git"):
        git = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=40"]
        commit = subprocess.run(git, capture_output=True, text=True).stdout.strip() or None
    return {**found, "commit": commit}


def format_table(metrics: Mapping) -> str:
    """The conditions as a table for a terminal."""
    difference = f"to {CONDITIONS[AS_IS].title}"
    lines = [f"{'':<24}{'accuracy':>9}  {'95 % interval':<14}{'macro F1':>9}{difference:>10}{'p':>10}"]
    for scores in metrics["conditions"].values():
        low, high = scores["accuracy_interval"]
        interval = f"{low:.3f}-{high:.3f}"
        line = f"{scores['title']:<24}{scores['accuracy']:>9.3f}  {interval:<14}{scores['macro_f1']:>9.3f}"
        if "difference" in scores:
            line += f"{scores['difference']:>+10.3f}{scores['p_value']:>10.2g}"
        lines.append(line)
    return "\n".join(lines)


__all__ = ["answer_of", "compare", "format_table", "summarize", "versions"]
