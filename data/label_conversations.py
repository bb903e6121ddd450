"""Rows that a head on DNA would learn, as questions and answers: classes, values, and labels of bases."""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from textgenome.data.answer_types import ANSWER_TYPE, JOB, TEXT, write_intervals, write_value
from textgenome.data.forms import TableForm
from textgenome.data.labels import (
    REGRESSION,
    SEVERAL,
    are_indicators,
    check_labelled,
    class_name,
    find_classes,
    find_problem_type,
    label_names,
    row_label,
)
from textgenome.data.rows import list_splits, load_rows
from textgenome.data.windows import (
    LabelReader,
    PlaceRows,
    on_both_strands,
    split_blocks,
    split_contigs,
    tile,
    with_letters,
)
from textgenome.genome.fasta import open_fasta
from textgenome.genome.gtf import read_annotation


CHOICES = 10  # most classes that a question names
NO_LABEL = "none"


def classes_as_answers(
    dataset_name: str, question: str | None = None, columns: str | None = None, on_bad_row: str = "raise"
) -> dict[str, list[dict]]:
    """The rows of a table of classes, or of several labels a row, as questions and answers.

    Args:
        dataset_name: See `load_rows`; the rows are checked by `check_labelled`.
        question: See `TableForm`. By default one that names the classes, if they are at most `CHOICES`.
        columns: See `TableForm.parse`.
        on_bad_row: See `load_rows`.

    Returns:
        By split the rows, with `question` and `answer`: the class, or the labels with commas between, `none` if a row
        has none.

    Raises:
        ValueError: If rows are bad, or have labels without names.
    """
    tables = _load_splits(dataset_name, question, columns, on_bad_row)
    labels = [row_label(row) for rows in tables.values() for row in rows]
    problem_type = find_problem_type(labels)
    if problem_type == SEVERAL and are_indicators(labels):
        raise ValueError("The labels are lists of 0 and 1: write their names, so that they can be asked for.")
    if problem_type == REGRESSION:
        raise ValueError("The labels are values, not classes: give --task regression.")
    names = find_classes(labels, problem_type)
    choices = f"Which of these is it: {', '.join(names)}?"
    question = question or (choices if len(names) <= CHOICES else "Which class is it?")

    def answer(label) -> str:
        return ", ".join(label_names(label)) or NO_LABEL if problem_type == SEVERAL else class_name(label)

    def ask(row: Mapping) -> dict:
        return {**_as_row(row, question, answer(row_label(row))), ANSWER_TYPE: TEXT}

    return {split: list(map(ask, rows)) for split, rows in tables.items()}


def values_as_answers(
    dataset_name: str,
    digits: int = 2,
    question: str | None = None,
    columns: str | None = None,
    on_bad_row: str = "raise",
) -> dict[str, list[dict]]:
    """The rows of a table of values as questions and answers, rounded to so many decimals.

    The arguments are those of `classes_as_answers`. Answers are of the type `value`.
    """
    tables = _load_splits(dataset_name, question, columns, on_bad_row, problem_type=REGRESSION)
    question = question or f"What is its value, to {digits} decimals?"

    def ask(row: Mapping) -> dict:
        return {**_as_row(row, question, write_value(float(row_label(row)), digits)), ANSWER_TYPE: "value"}

    return {split: list(map(ask, rows)) for split, rows in tables.items()}


def _load_splits(
    dataset_name: str, question: str | None, columns: str | None, on_bad_row: str, **checks
) -> dict[str, list[dict]]:
    form = TableForm.parse(columns, question)
    reading = {"check": check_labelled, "on_bad_row": on_bad_row, "form": form, **checks}
    splits = {split: load_rows(dataset_name, split, **reading).to_list() for split in list_splits(dataset_name)}
    # A few of the built-in rows are conversations already.
    return {split: [row for row in rows if row.get("messages") is None] for split, rows in splits.items()}


def _as_row(row: Mapping, question: str, answer: str) -> dict:
    kept = {name: value for name, value in row.items() if name not in ("label", "messages")}
    return {**kept, "question": row.get("question") or question, "answer": answer}


def bases_as_answers(
    fasta: str | Path,
    annotations: Sequence[str | Path],
    labels: Sequence[str],
    window: int,
    test_contigs: Sequence[str] = (),
    stranded: bool = True,
    seed: int = 0,
) -> tuple[dict[str, Iterator[dict]], Counter]:
    """Windows of a genome with the question which of their bases have a label, and the intervals that do.

    For each label as many windows without it are kept as there are with it, drawn by the seed.

    Args:
        fasta: The genome.
        annotations: GTF, GFF3 or BED files.
        labels: Types of features.
        window: Bases of a window.
        test_contigs: Those of the split `validation`, by default a block of every ten.
        stranded: Whether features count on the strand that is read only, and both are read.
        seed: Of the draws.

    Returns:
        By split, `train` and `validation`, an iterator over rows with `question`, `sequence`, `answer`, `answer_type`,
        `label` and `place`; and how many windows of each label were kept and left out.

    Raises:
        OSError: If a file cannot be read.
        ValueError: If a label is unknown or missing in a split, or the genome cannot be split.
    """
    rng, counts = random.Random(seed), Counter()
    with open_fasta(fasta) as genome:
        contigs = dict(zip(genome.references, genome.lengths))
        parts = split_contigs(contigs, test_contigs) if test_contigs else split_blocks(contigs, 0.1, window=window)
        tiles = [with_letters(tile(places, window), genome) for places in parts]
    reader = LabelReader([read_annotation(path, labels) for path in annotations], list(contigs), labels, stranded)
    splits = {}
    for split, places in zip(("train", "validation"), tiles):
        places = on_both_strands(places) if stranded else places
        # Read once for the labels alone: of a whole genome few windows are kept.
        has = np.array([reader(place).any(axis=0) for place in places])
        for column, label in enumerate(labels):
            if not has[:, column].any():
                raise ValueError(f"No window of the split {split} has the label {label}: name other --test_contigs.")
        kept = [_balance(has[:, column], label, rng, counts) for column, label in enumerate(labels)]
        splits[split] = _label_rows(PlaceRows(places, fasta, {"labels": reader}), labels, kept)
    return splits, counts


def _balance(has: np.ndarray, label: str, rng: random.Random, counts: Counter) -> list[int]:
    """The windows with a label, and as many without it."""
    full, empty = (np.flatnonzero(each).tolist() for each in (has, ~has))
    drawn = rng.sample(empty, min(len(empty), len(full)))
    counts[f"windows with {label}"] += len(full)
    counts[f"windows without {label}"] += len(drawn)
    counts[f"windows without {label} that were left out"] += len(empty) - len(drawn)
    return sorted([*full, *drawn])


def _label_rows(windows: PlaceRows, labels: Sequence[str], kept: Sequence[list[int]]) -> Iterator[dict]:
    for column, (label, numbers) in enumerate(zip(labels, kept)):
        for number in numbers:
            window = windows[number]
            row = {"question": f"Which bases of this sequence are {label}?", "sequence": window["sequence"]}
            row |= {"answer": write_intervals(window["labels"][:, column]), ANSWER_TYPE: "intervals", "label": label}
            yield {**row, "place": f"{window['place']} {window['place'].strand}"}


def name_job(rows: Iterable[Mapping], job: str) -> Iterator[dict]:
    """Rows that name their job."""
    return ({**row, JOB: job} for row in rows)


__all__ = ["bases_as_answers", "classes_as_answers", "name_job", "values_as_answers"]
