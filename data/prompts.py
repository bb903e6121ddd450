"""Rows of a table to prompts, in two steps: cut the windows, then, with or without a change between, ask."""

from collections.abc import Iterable, Iterator, Mapping

from transformers import ProcessorMixin

from textgenome.data.conversations import (
    DNA_COLUMNS,
    SEQUENCE_COLUMN,
    BadRow,
    is_about_a_sequence,
    truncate_pair,
)
from textgenome.data.texts import is_blank
from textgenome.processing.processing_dna import DNA_WINDOW, normalize_dna, variant_window


def cut_windows(
    rows: list[Mapping],
    dna: str = "variant",
    dna_truncation: str = "variant_window",
    dna_window: int = DNA_WINDOW,
) -> list[dict]:
    """The rows with their pair cut to what the model sees of it, or None in all columns of DNA with `dna="none"`.

    A row about one sequence keeps it whole.

    Args:
        rows: Rows that `load_rows` has checked, with a question and an answer, or for a DNA-only model an answer.
        dna: As in `row_to_messages`.
        dna_truncation: As in `row_to_messages`.
        dna_window: As in `row_to_messages`.

    Raises:
        ValueError: If a row is none that the model could be asked about; the message names row and column.
    """
    return list(cut_each(rows, dna, dna_truncation, dna_window))


def cut_each(rows: Iterable[Mapping], *reading: str | int, **reading_options: str | int) -> Iterator[dict]:
    """The same, one row after the other."""
    for number, row in enumerate(rows):
        try:
            cut = cut_window(row, *reading, **reading_options)
        except ValueError as error:
            column = getattr(error, "column", DNA_COLUMNS[1])
            raise ValueError(f"Row {number}, column {column!r}: {error}") from error
        yield cut


def cut_window(
    row: Mapping, dna: str = "variant", dna_truncation: str = "variant_window", dna_window: int = DNA_WINDOW
) -> dict:
    """The same of one row."""
    if row.get("messages") is not None:
        raise BadRow("messages", "only rows with a question and DNA in columns can be asked about")
    shown = dict.fromkeys((SEQUENCE_COLUMN, *DNA_COLUMNS) if SEQUENCE_COLUMN in row else DNA_COLUMNS)
    if dna != "none" and is_about_a_sequence(row):
        shown[SEQUENCE_COLUMN] = normalize_dna(row[SEQUENCE_COLUMN])
    elif dna != "none":
        shown |= zip(DNA_COLUMNS, variant_window(*truncate_pair(row, dna_truncation), dna_window))
    return {**row, **shown}


def reading_options(processor: ProcessorMixin) -> dict:
    """How the model of a processor was trained to read rows: `dna`, `dna_truncation` and `dna_window`.

    A model of DNA alone has only the last.
    """
    names = ("dna", "dna_truncation", "dna_window")
    return {name: getattr(processor, name) for name in names if hasattr(processor, name)}


def check_options(processor: ProcessorMixin) -> dict:
    """What a row is checked against before the model of a processor reads it: its `reading_options` and tokenizers.

    For `row_to_messages` or `check_labelled`.
    """
    names = ("tokenizer", "dna_tokenizer")
    return reading_options(processor) | {name: getattr(processor, name) for name in names if hasattr(processor, name)}


def as_prompt(row: Mapping) -> list[dict]:
    """The turn of the user, as in training, of a row whose windows are cut.

    A pair without a difference, as a control makes it, is shown as two plain sequences: these are not checked for one.
    """
    reference, variant = (row[name] for name in DNA_COLUMNS)
    if is_about_a_sequence(row):
        dna = [{"type": "dna", "dna": row[SEQUENCE_COLUMN]}]
    elif reference is None:
        dna = []
    elif reference == variant:
        dna = [{"type": "dna", "dna": sequence} for sequence in (reference, variant)]
    else:
        dna = [{"type": "variant", "reference": reference, "variant": variant}]
    return [{"role": "user", "content": [*dna, {"type": "text", "text": row["question"].strip()}]}]


def reasons(row: Mapping) -> bool:
    """Whether a row, or a conversation, trains the model to reason before it answers."""
    messages = row.get("messages") or []
    return not is_blank(row.get("reasoning") or "") or any(
        message.get("reasoning_content") or "<think>" in str(message.get("content")) for message in messages
    )


__all__ = ["as_prompt", "check_options", "cut_each", "cut_window", "cut_windows", "reading_options", "reasons"]
