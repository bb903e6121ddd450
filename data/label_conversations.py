"""Rows that a head on DNA would learn, as questions and answers: classes, values, and labels of bases."""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from textgenome.data.answer_types import ANSWER_TYPE, JOB, NO_BASE, write_intervals, write_value
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
    Place,
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

    return {split: [_as_row(row, question, answer(row_label(row))) for row in rows] for split, rows in tables.items()}


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
) -> tuple[dict[str, list[dict]], Counter]:
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
        By split, `train` and `validation`, rows with `question`, `sequence`, `answer`, `answer_type`, `label` and
        `place`; and how many windows of each label were kept and left out.

    Raises:
        OSError: If a file cannot be read.
        ValueError: If a label is unknown, or the genome cannot be split.
    """
    rng, counts = random.Random(seed), Counter()
    genome = open_fasta(fasta)
    contigs = dict(zip(genome.references, genome.lengths))
    reader = LabelReader([read_annotation(path, labels) for path in annotations], list(contigs), labels, stranded)
    parts = split_contigs(contigs, test_contigs) if test_contigs else split_blocks(contigs, 0.1, window=window)
    splits = {}
    for split, places in zip(("train", "validation"), parts):
        tiles = with_letters(tile(places, window), genome)
        windows = list(PlaceRows(on_both_strands(tiles) if stranded else tiles, fasta, {"labels": reader}))
        splits[split] = [
            row
            for column, label in enumerate(labels)
            for row in _balance([_label_row(each, column, label) for each in windows], label, rng, counts)
        ]
    if not all(splits.values()):
        raise ValueError("In one of the splits no window has any of the labels.")
    return splits, counts


def _label_row(window: Mapping, column: int, label: str) -> dict:
    row = {"question": f"Which bases of this sequence are {label}?", "sequence": window["sequence"]}
    row |= {"answer": write_intervals(window["labels"][:, column]), ANSWER_TYPE: "intervals", "label": label}
    return {**row, "place": _name(window["place"])}


def _name(place: Place) -> str:
    return f"{place} {place.strand}"


def _balance(rows: list[dict], label: str, rng: random.Random, counts: Counter) -> Iterable[dict]:
    empty = [number for number, row in enumerate(rows) if row["answer"] == NO_BASE]
    kept = {*rng.sample(empty, min(len(empty), len(rows) - len(empty)))}
    left_out = {*empty} - kept
    counts[f"windows with {label}"] += len(rows) - len(empty)
    counts[f"windows without {label}"] += len(kept)
    counts[f"windows without {label} that were left out"] += len(left_out)
    return (row for number, row in enumerate(rows) if number not in left_out)


def name_job(splits: Mapping[str, list[dict]], job: str) -> Iterator[tuple[str, list[dict]]]:
    """Splits of which all rows name their job."""
    for split, rows in splits.items():
        yield split, [{**row, JOB: job} for row in rows]


__all__ = ["bases_as_answers", "classes_as_answers", "name_job", "values_as_answers"]
