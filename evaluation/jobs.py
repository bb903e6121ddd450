"""Answers scored by the metric of their job: words, values, intervals of bases, or proteins."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from textgenome.data.answer_types import (
    ANSWER_TYPE,
    JOB,
    TEXT,
    count_bases,
    count_shared,
    read_intervals,
    read_value,
)
from textgenome.evaluation.conditions import find_condition
from textgenome.evaluation.metrics import METRICS
from textgenome.evaluation.report_parts import Table
from textgenome.evaluation.results import answers_of
from textgenome.evaluation.row_metrics import f1_of_counts, pearson
from textgenome.evaluation.units import Pooled, summarize_units
from textgenome.inference.answers import is_right, normalize_answer


class Job(NamedTuple):
    """Rows that ask the same kind of question: its name, the type of its answers, and the places of the rows."""

    name: str
    answer_type: str
    places: list[int]


def find_jobs(rows: Sequence[Mapping]) -> list[Job]:
    """The jobs of rows with a column `job`, or of answers of several types, in the order in which they come.

    A row without the name of a job has that of its type. There are none if no row names a job or a type.

    Raises:
        ValueError: If rows of one job have answers of several types.
    """
    jobs: dict[str, Job] = {}
    for place, row in enumerate(rows):
        answer_type = row.get(ANSWER_TYPE) or TEXT
        name = row.get(JOB) or answer_type
        job = jobs.setdefault(name, Job(name, answer_type, []))
        if job.answer_type != answer_type:
            raise ValueError(f"The job {name!r} has answers of the types {job.answer_type} and {answer_type}.")
        job.places.append(place)
    return [] if list(jobs) == [TEXT] else list(jobs.values())


def score_jobs(rows: Sequence[Mapping], known: Mapping[str, Sequence[Mapping]], seed: int = 0) -> dict[str, dict]:
    """Score the answers of each job by its metrics.

    Args:
        rows: With `answer`, and `job` or `answer_type`, see `find_jobs`.
        known: By the name of the condition a record for each row, see `summarize`.
        seed: Of the bootstrap.

    Returns:
        By name of the job `answer_type`, `rows`, `metrics`, their names, that of the one that decides first, and
        `conditions`: for each what `summarize_units` returns of the metrics of `measure_answers`.
    """
    jobs = find_jobs(rows)
    truths = [row["answer"] for row in rows] if jobs else []
    answers = {name: answers_of(records) for name, records in known.items()} if jobs else {}
    scored = {}
    for job in jobs:
        asked = [truths[place] for place in job.places]
        measured = {
            name: measure_answers(job.answer_type, asked, [given[place] for place in job.places])
            for name, given in answers.items()
        }
        scored[job.name] = {
            "answer_type": job.answer_type,
            "rows": len(job.places),
            "metrics": list(next(iter(measured.values()))),
            "conditions": summarize_units(measured, seed=seed),
        }
    return scored


def measure_answers(
    answer_type: str, truths: Sequence[str], answers: Sequence[str | None]
) -> dict[str, Pooled | Sequence[float]]:
    """The metrics of one job, the one that decides first.

    - `text`: `accuracy`, the share of right answers.
    - `value`: `pearson`, `mean_absolute_error`, and `accuracy`, the share of equal numbers. What is not a number
      counts as the mean of the true values.
    - `intervals`: `base_f1`, F1 of the bases of all rows together, and `accuracy`. What cannot be read counts as
      `none`.
    - `protein`: `accuracy`, whole proteins, and `identity`, the share of equal residues at equal places, of the longer
      one.

    And for all `no_answer`, the share of rows with no answer of this type.

    Args:
        answer_type: One of `ANSWER_TYPES`.
        truths: The true answers, of the type.
        answers: Normalised answers, see `extract_answer`.
    """
    truths = list(map(normalize_answer, truths))
    right = np.array([is_right(answer, truth) for answer, truth in zip(answers, truths, strict=True)], dtype=float)
    missing = np.array([answer is None for answer in answers], dtype=float)
    if answer_type == "value":
        true = np.array(list(map(read_value, truths)))
        read = [None if answer is None else read_value(answer) for answer in answers]
        given = np.array([true.mean() if value is None else value for value in read])
        return {
            "pearson": Pooled(len(true), lambda weights: pearson(true, given, weights)),
            "mean_absolute_error": np.abs(given - true),
            "accuracy": np.array([value == each for each, value in zip(true, read)], dtype=float),
            "no_answer": np.array([value is None for value in read], dtype=float),
        }
    if answer_type == "intervals":
        true = list(map(read_intervals, truths))
        read = [None if answer is None else read_intervals(answer) for answer in answers]
        counts = np.array([_count_bases(each, given or []) for each, given in zip(true, read)], dtype=float)
        return {
            "base_f1": Pooled(len(counts), lambda weights: f1_of_counts(*(weights @ counts).T)),
            "accuracy": np.array([given == each for each, given in zip(true, read)], dtype=float),
            "no_answer": np.array([given is None for given in read], dtype=float),
        }
    if answer_type == "protein":
        pairs = zip(map(_residues, truths), (_residues(answer or "") for answer in answers))
        identity = np.array([_identity(*pair) for pair in pairs])
        return {"accuracy": right, "identity": identity, "no_answer": missing}
    return {"accuracy": right, "no_answer": missing}


def flat_metrics(job: Mapping) -> dict[str, float | None]:
    """The metrics of a job by `METRIC_CONDITION`, without intervals."""
    return {
        f"{metric}_{condition}": summary[metric]
        for condition, summary in job["conditions"].items()
        for metric in job["metrics"]
    }


def job_table(jobs: Mapping[str, Mapping]) -> Table:
    """A table of what `score_jobs` returns."""
    rows = []
    for name, job in jobs.items():
        for condition, summary in job["conditions"].items():
            for metric in job["metrics"]:
                interval = summary[f"{metric}_interval"]
                ends = f"{interval[0]:.3f} to {interval[1]:.3f}" if interval else ""
                place = [f"{name}: {find_condition(condition).title}", job["rows"], METRICS[metric].title]
                rows.append([*place, "" if summary[metric] is None else summary[metric], ends])
    columns = ["job", "rows", "metric", "value", "95 % interval"]
    return Table("By job", columns, rows, "The answers of each job by its own metrics.")


def format_jobs(jobs: Mapping[str, Mapping]) -> str:
    """What `score_jobs` returns as text for a terminal: a line for each job and condition."""
    lines = []
    for name, job in jobs.items():
        for condition, summary in job["conditions"].items():
            known = [each for each in job["metrics"] if summary[each] is not None]
            values = ", ".join(f"{METRICS[each].title} {summary[each]:.3f}" for each in known)
            lines.append([name, find_condition(condition).title, values])
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def _count_bases(true: list[tuple[int, int]], given: list[tuple[int, int]]) -> tuple[int, int, int]:
    """Hits, false alarms and misses."""
    hits = count_shared(true, given)
    return hits, count_bases(given) - hits, count_bases(true) - hits


def _residues(answer: str) -> str:
    return re.sub(r"\s", "", answer).casefold()


def _identity(true: str, given: str) -> float:
    return sum(a == b for a, b in zip(true, given)) / max(len(true), len(given), 1)


__all__ = ["Job", "find_jobs", "flat_metrics", "format_jobs", "job_table", "measure_answers", "score_jobs"]
