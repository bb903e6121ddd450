"""The report of an evaluation: one HTML page that needs nothing else, and holds no sequence unless asked to."""

import heapq
import math
import os
import sys
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from textgenome.evaluation.conditions import AS_IS
from textgenome.evaluation.jobs import job_table
from textgenome.evaluation.report_parts import Figure, Table
from textgenome.evaluation.results import answers_of
from textgenome.evaluation.subgroups import subgroup_table
from textgenome.evaluation.training_curves import read_log, training_curves
from textgenome.inference.answers import hide_bases, normalize_answer
from textgenome.inference.checkpoints import without_path


MISTAKES = 20
OTHER_ANSWER, NO_ANSWER = "another answer", "no answer"
KINDS = {"model": "Model", "text-only": "Text only", "control": "Controls", "baseline": "Baselines"}


def write_report(
    path: Path,
    metrics: dict,
    rows: Sequence[Mapping],
    known: dict[str, Sequence[dict]],
    loci: list[str | None] | None = None,
    explain: Callable[[Sequence[Mapping]], list[Figure]] | None = None,
) -> None:
    """Write what `metrics` says of answers, and the worst mistakes, as a page to read and to print.

    The unchanged rows or, of baselines alone, the best of them are shown in detail.

    Args:
        path: The page, an `.html` file.
        metrics: The content of `metrics.json`: `conditions`, by name what `summarize` and `compare` return, and facts
            of the run.
        rows: The evaluated rows, with `answer` and perhaps `question`.
        known: By condition one record for each row, as for `summarize`.
        loci: For each row its locus, or None.
        explain: Draws what some of the mistakes depend on, see `explain_mistakes`.
    """
    conditions = metrics["conditions"]
    detailed = AS_IS if AS_IS in conditions else max(conditions, key=lambda name: conditions[name]["accuracy"])
    truths = [sys.intern(normalize_answer(row["answer"])) for row in rows]
    answers = answers_of(known[detailed])
    bins = conditions[detailed].get("reliability", [])
    mistakes = find_mistakes(rows, truths, answers, known[detailed])
    explained = explain(mistakes) if explain else []
    groups = subgroup_table(rows, [truth == answer for truth, answer in zip(truths, answers)], loci)
    write_page(
        path,
        metrics,
        figures=[*explained, *training_curves({"training": read_log(metrics.get("model"))})],
        tables=[*([job_table(metrics["jobs"])] if "jobs" in metrics else []), *([groups] if groups.rows else [])],
        detailed=detailed,
        confusion=count_confusions(truths, answers),
        calibration_error=sum(each["rows"] * abs(each["confidence"] - each["accuracy"]) for each in bins) / len(rows),
        mistakes=mistakes,
        wrong=sum(truth != answer for truth, answer in zip(truths, answers)),
    )


def write_page(
    path: Path,
    metrics: dict,
    detailed: str | None = None,
    figures: Sequence[Figure] = (),
    tables: Sequence[Table] = (),
    **details,
) -> None:
    """Write the page of any task: verdict, results, figures, tables.

    Base letters in texts, 12 or more in a run, are replaced by their number.

    Args:
        path: The page, an `.html` file.
        metrics: The content of `metrics.json`.
        detailed: The condition that is shown in bold, by default the model, or else the best one.
        figures: Pictures.
        tables: Further tables.
        details: `confusion`, `mistakes` and what goes with them, of answers.
    """
    conditions, name = metrics["conditions"], metrics["metric"]
    sign = 1 if metrics["metrics"][name]["higher_is_better"] else -1
    if detailed is None:
        known = [each for each in conditions if conditions[each][name] is not None] or [*conditions]
        best = max(known, key=lambda each: sign * (conditions[each][name] or 0))
        detailed = AS_IS if AS_IS in conditions else best
    groups = [
        (title, {name: summary for name, summary in conditions.items() if summary["kind"] == kind})
        for kind, title in KINDS.items()
    ]
    folder = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(folder), autoescape=True, trim_blocks=True, lstrip_blocks=True, finalize=_hide_bases
    )
    environment.filters["without_path"] = _without_path
    page = environment.get_template("report.html.jinja").render(
        metrics=metrics,
        groups=[(title, group) for title, group in groups if group],
        detailed=detailed,
        summary=conditions[detailed],
        scale=_scale(conditions.values(), name),
        figures=[(figure, _embed(figure.picture)) for figure in figures],
        tables=tables,
        **details,
    )
    path.write_text(page, encoding="utf-8")


def _scale(conditions: Iterable[Mapping], name: str) -> tuple[float, float]:
    """The ends of the axis of a metric: 0 to 1, or -1 to 1, or what holds all its values and intervals."""
    ends = [end for summary in conditions for end in (summary.get(name), *(summary.get(f"{name}_interval") or ()))]
    low, high = (find([0, *(end for end in ends if end is not None)]) for find in (min, max))
    return (0 if low >= 0 else min(low, -1)), max(high, 1)


def _embed(picture: str | bytes) -> Markup:
    if isinstance(picture, str):
        return Markup(picture[picture.index("<svg") :])  # without what comes before it in a file
    return Markup(f'<img alt="" src="data:image/png;base64,{b64encode(picture).decode()}">')


def _without_path(value: object) -> object:
    """A folder or file by its name alone: where it lies on this machine concerns no reader."""
    return without_path(value) if isinstance(value, str) and os.path.isabs(value) else value


def _hide_bases(value: object) -> object:
    return hide_bases(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def count_confusions(truths: Sequence[str], answers: Sequence[str | None]) -> dict:
    """The confusion matrix: labels by how many rows have them; answers that are no true label of any row together.

    Returns:
        `columns`, the names; `rows`, a list of `label`, `rows` and `cells`, each of which is a Counter of answers.
    """
    sizes = Counter(truths)
    labels = sorted(sizes, key=lambda label: (-sizes[label], label))
    cells: dict[tuple[str, str], Counter] = {}
    for truth, answer in zip(truths, answers):
        column = NO_ANSWER if answer is None else answer if answer in sizes else OTHER_ANSWER
        cells.setdefault((truth, column), Counter())[answer or NO_ANSWER] += 1
    found = {column for _, column in cells}
    columns = [*labels, *(name for name in (OTHER_ANSWER, NO_ANSWER) if name in found)]
    return {
        "columns": columns,
        "rows": [
            {"label": label, "rows": sizes[label], "cells": [cells.get((label, name), Counter()) for name in columns]}
            for label in labels
        ],
    }


def find_mistakes(
    rows: Iterable[Mapping], truths: Sequence[str], answers: Sequence[str | None], records: Iterable[dict]
) -> list[dict]:
    """The worst mistakes: those with the most probable wrong answer, or else of the most frequent confusion, first."""
    confused = Counter(zip(truths, answers))

    def mistakes() -> Iterator[dict]:
        for number, (row, truth, answer, record) in enumerate(zip(rows, truths, answers, records)):
            if answer != truth:
                scores = record.get("scores", {}).items()
                named = [score for label, score in scores if answer in (label, normalize_answer(label))]
                mistake = {"row": number, "question": row.get("question"), "truth": truth, "answer": answer}
                mistake |= {"times": confused[truth, answer], "output": record.get("output")}
                yield {**mistake, "confidence": math.exp(max(named)) if named else None}

    def place(mistake: Mapping) -> tuple:
        names = mistake["truth"], mistake["answer"] or ""
        return -(mistake["confidence"] or 0), -mistake["times"], *names

    return heapq.nsmallest(MISTAKES, mistakes(), key=place)


__all__ = ["Figure", "Table", "write_page", "write_report"]
