"""Rows for heads on DNA: a sequence or a pair of them, with a class, several labels or a value."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping

import torch
from transformers import PreTrainedTokenizerBase

from textgenome.data.conversations import DNA_COLUMNS, BadRow
from textgenome.data.sequences import check_sequences
from textgenome.data.texts import check_unicode, is_blank
from textgenome.processing.processing_dna import (
    DNA_WINDOW,
    check_tokens_differ,
    normalize_dna,
    tokenize_dna,
    variant_window,
)


SINGLE, SEVERAL, REGRESSION = "single_label_classification", "multi_label_classification", "regression"
LABEL_COLUMNS = ("answer", "label")
SEPARATOR = ";"
NO_CLASS = -100  # what a loss leaves out


def check_labelled(
    row: Mapping,
    problem_type: str | None = None,
    dna_window: int = DNA_WINDOW,
    dna_tokenizer: PreTrainedTokenizerBase | None = None,
    grows: bool = False,
) -> None:
    """Check a row that a head on DNA reads: `sequence`, or `reference_sequence` and `variant_sequence`; and `answer`
    or `label`.

    Args:
        row: Of a table.
        problem_type: In the words of transformers, or None where the labels are still to tell.
        dna_window: Most bases of each window of a pair.
        dna_tokenizer: If given, check too that no sequence has more tokens than the encoder reads, and that the tokens
            of a pair differ.
        grows: The encoder will be made for the longest sequence: only of pairs, which are cut, tokens are counted.

    Raises:
        BadRow: If a column is missing, holds something else, or the DNA is not valid or does not show a variant.
    """
    check_label(row, problem_type)
    check_sequences(row, dna_window)
    if dna_tokenizer is None or (grows and not is_pair(row)):
        return
    column = "variant_sequence" if is_pair(row) else "sequence"
    try:
        windows = variant_window(*sequences_of(row), dna_window) if is_pair(row) else [normalize_dna(row["sequence"])]
        encoded, _ = tokenize_dna(dna_tokenizer, list(windows))
        if is_pair(row):
            check_tokens_differ(*encoded)
    except ValueError as error:
        raise BadRow(column, str(error)) from error


def check_label(row: Mapping, problem_type: str | None = None) -> None:
    """Raise `BadRow` for a row without a label, or with one that does not fit."""
    column, label = label_column(row), row_label(row)
    if label is None:
        raise BadRow(column, "the column is missing or has no value: a row needs `answer` or `label`, beside its DNA")
    if isinstance(label, float) and not math.isfinite(label):
        raise BadRow(column, f"the label is {label}")
    if problem_type == REGRESSION:
        if as_number(label) is None:
            raise BadRow(column, f"the label is {label!r}, but of a regression it must be a finite number")
        return
    for name in label if isinstance(label, list | tuple) else [label]:
        if not isinstance(name, str | int | float):
            raise BadRow(column, f"expected text or a number, got {type(name).__name__}")
        if isinstance(name, str):
            _check_name(name, column, problem_type)
    if problem_type == SINGLE and isinstance(label, list | tuple):
        raise BadRow(column, "there is a list of labels, but the model tells one class of each row")


def _check_name(name: str, column: str, problem_type: str | None) -> None:
    if is_blank(name) and problem_type != SEVERAL:
        raise BadRow(column, "the text is empty")
    if "\n" in name.strip():
        raise BadRow(column, f"the {column} has a line break, but what is read as the {column} is one line")
    try:
        check_unicode(name)
    except ValueError as error:
        raise BadRow(column, str(error)) from error


def is_pair(row: Mapping) -> bool:
    """Whether a row holds a reference and a variant, not one sequence."""
    return row.get("sequence") is None


def check_form(tables: Iterable[Iterable[Mapping]]) -> bool:
    """Whether the rows of some tables are pairs.

    Raises:
        ValueError: If some are, and others are not.
    """
    forms = Counter(is_pair(row) for rows in tables for row in rows)
    if len(forms) > 1:
        raise ValueError(
            f"{forms[True]} rows are pairs of a reference and a variant, {forms[False]} have one `sequence`: a model "
            "reads one or the other."
        )
    return next(iter(forms))


def sequences_of(row: Mapping) -> tuple[str, ...]:
    """The sequence of a row, or its reference and its variant."""
    return tuple(row[column] for column in DNA_COLUMNS) if is_pair(row) else (row["sequence"],)


def label_column(row: Mapping) -> str:
    """Which column of a row holds its label."""
    return next((column for column in LABEL_COLUMNS if row.get(column) is not None), LABEL_COLUMNS[0])


def row_label(row: Mapping):
    """The label of a row as its table has it: the column `answer`, or else `label`."""
    return row.get(label_column(row))


def as_number(label) -> float | None:
    """A label as a finite number, or None."""
    try:
        number = float(label)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def class_name(label: str | int | float) -> str:
    """The name of the class that a label means: text without the space around it, and 1 for 1.0."""
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    return str(label).strip()


def label_names(label) -> list[str]:
    """The names in a label that may hold several: a list, or text in which they are separated by `;`."""
    if not isinstance(label, list | tuple):
        label = str(label).split(SEPARATOR)
    return [name for name in map(class_name, label) if name]


def find_problem_type(labels: Iterable) -> str:
    """What the labels of a table are, in the words of transformers.

    Lists are several labels a row. Numbers of which at least one is not whole are values of a regression. All else are
    classes: so are whole numbers, for which a regression must be asked.
    """
    labels = list(labels)
    if any(isinstance(label, list | tuple) for label in labels):
        return SEVERAL
    numbers = list(map(as_number, labels))
    if None not in numbers and not all(number.is_integer() for number in numbers):
        return REGRESSION
    return SINGLE


def find_classes(labels: Iterable, problem_type: str) -> list[str]:
    """The names of the classes or labels, sorted, whole numbers by their value; of a regression `value`.

    Lists of 0 and 1 that are all of one length say of each label whether a row has it; the names are its places.
    """
    if problem_type == REGRESSION:
        return ["value"]
    labels = list(labels)
    if problem_type == SEVERAL:
        if are_indicators(labels):
            return [str(place) for place in range(len(labels[0]))]
        names = {name for label in labels for name in label_names(label)}
    else:
        names = set(map(class_name, labels))
    return sorted(names, key=int) if all(name.isdecimal() for name in names) else sorted(names)


def are_indicators(labels: list) -> bool:
    """Whether labels are lists of 0 and 1 of one length above 1."""
    if not all(isinstance(label, list | tuple) for label in labels):
        return False
    return len(labels[0]) > 1 and all(
        len(label) == len(labels[0]) and all(not isinstance(each, str) and each in (0, 1) for each in label)
        for label in labels
    )


def encode_labels(labels: list, label2id: Mapping[str, int], problem_type: str | None) -> torch.Tensor:
    """Labels as a model takes them.

    Args:
        labels: One a row, see `row_label`.
        label2id: The place of each name.
        problem_type: That of the configuration; None is one class a row.

    Returns:
        int64 of shape `(rows,)`, `NO_CLASS` for a class that is not known; of several labels float32 of shape
        `(rows, labels)`, where names that are not known do not count; of a regression float32 of shape `(rows,)`.
    """
    if problem_type == REGRESSION:
        return torch.tensor([float(label) for label in labels])
    if problem_type != SEVERAL:
        return torch.tensor([label2id.get(class_name(label), NO_CLASS) for label in labels])
    encoded = torch.zeros(len(labels), len(label2id))
    for row, label in enumerate(labels):
        if are_indicators([label]) and len(label) == len(label2id):
            encoded[row] = torch.tensor([float(each) for each in label])
        else:
            encoded[row, [label2id[name] for name in label_names(label) if name in label2id]] = 1
    return encoded


__all__ = [
    "NO_CLASS",
    "REGRESSION",
    "SEVERAL",
    "SINGLE",
    "as_number",
    "check_form",
    "check_labelled",
    "class_name",
    "encode_labels",
    "find_classes",
    "find_problem_type",
    "is_pair",
    "label_names",
    "row_label",
    "sequences_of",
]
