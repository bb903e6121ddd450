"""Reading tables of rows from files or from the Hub, and leaving out or refusing bad rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id
from transformers.utils import logging

from textgenome.data.built_in import BUILT_IN, built_in_rows, built_in_splits
from textgenome.data.conversations import BadRow, build_messages, row_to_messages, texts_of
from textgenome.data.folders import SPLIT_OF, describe_files, find_files
from textgenome.data.forms import TableForm, describe_columns
from textgenome.data.tables import check_values, read_table, table_format
from textgenome.genome.progress import Progress
from textgenome.processing.processing_textgenome import TextGenomeProcessor


if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.get_logger(__name__)

ROWS_SHOWN = 10


def load_rows(
    name: str,
    split: str,
    on_bad_row: str = "raise",
    check: Callable = row_to_messages,
    numbered: bool = False,
    form: TableForm | None = None,
    **check_options,
) -> Dataset:
    """Load one split of a table, and check every row.

    Files of the user are read into memory and leave no copy in the cache of `datasets`.

    Args:
        name: A file (JSON, JSON lines, CSV, TSV or Parquet, or one of these compressed by gzip), a folder of them
            whose names say the split (`train.parquet`, `val-00001.jsonl`..., see `find_files`), the id of a data set
            on the Hub, or a name of built-in rows, such as `starter` (see `BUILT_IN`).
        split: Name of the split; `validation`, `val` and `dev` mean the same, as do the other words of `SPLIT_WORDS`.
            A single file holds the split `train`.
        on_bad_row: `raise` refuses a table with a bad row; `skip` leaves such rows out and logs each.
        check: What raises `BadRow` for a bad row: `row_to_messages`, or for a head on DNA `check_labelled`.
        numbered: Whether to number the rows in the column `row`, from 0 through all files and counting bad ones.
        form: Which columns to read in place of the usual ones.
        check_options: For `check`.

    Returns:
        The rows, in the columns in which they came, and those of `form`.

    Raises:
        FileNotFoundError: If there is no such file, folder or data set.
        ValueError: If there is no such split, it is not clear which files hold it, a file cannot be read, or rows are
            bad. The message names file, row (counted from 0), column and position of up to ten of them.
    """
    if name in BUILT_IN:
        rows = built_in_rows(name, _known_split(name, split))
        return rows.add_column("row", list(range(len(rows)))) if numbered else rows
    rows = list(read_rows(name, split, on_bad_row, check, numbered, form, **check_options))
    from datasets import Dataset  # takes most of a second, and who asks about a pair needs none
    from pyarrow import ArrowException

    columns = dict.fromkeys(column for row in rows for column in row)
    try:
        return Dataset.from_list([{**columns, **row} for row in rows], on_mixed_types="use_json")
    except (ArrowException, OverflowError) as error:
        raise ValueError(f"{name}: a column holds values that do not go together: {error}") from error


def read_rows(
    name: str,
    split: str,
    on_bad_row: str = "raise",
    check: Callable = row_to_messages,
    numbered: bool = False,
    form: TableForm | None = None,
    **check_options,
) -> Iterator[dict]:
    """The rows that `load_rows` loads, one after the other, with the same arguments and errors.

    Bad rows are told once all are read.
    """
    if name in BUILT_IN:
        yield from load_rows(name, split, numbered=numbered)
        return
    good, bad, lacking = 0, [], set()
    reading = Progress(_read(name, split), desc=f"Reading {split} rows", unit="row")
    for place, (file, number, row) in enumerate(reading):
        try:
            check_values(row)
            if not isinstance(row, dict):
                raise BadRow("all", "the row is not a JSON object")
            row = form.apply(row) if form else row
            check(row, **check_options)
        except BadRow as error:
            bad.append(f"{file}, row {number}, column {error.column!r}: {error}")
            if not good and isinstance(row, dict) and error.column not in row:
                lacking.add((error.column, str(error)))
            continue
        good += 1
        yield {**row, "row": place} if numbered else row
    if bad and not good and len(lacking) == 1:
        ((column, message),) = lacking
        raise ValueError(f"{name}: no row can be read. Column {column!r}: {message}. {describe_columns(row, column)}")
    report_bad_rows(bad, good + len(bad), on_bad_row)
    if not good:
        raise ValueError(f"{name}: the split {split!r} holds no usable row.")


def report_bad_rows(bad: list[str], number: int, on_bad_row: str, hint: str | None = None) -> None:
    """Refuse a table with bad rows, or log each.

    Args:
        bad: Where each of them is, and what is wrong.
        number: How many rows there are, bad ones included.
        on_bad_row: `raise` or `skip`.
        hint: What all of them together say.
    """
    hints = [hint] if bad and hint else []
    if bad and on_bad_row == "raise":
        shown = "\n".join(bad[:ROWS_SHOWN])
        rest = f"\n... and {len(bad) - ROWS_SHOWN} more" if len(bad) > ROWS_SHOWN else ""
        raise ValueError(
            f"{len(bad)} of {number} rows are bad. Fix them, or leave them out with --on_bad_row skip.\n"
            + "\n".join([f"{shown}{rest}", *hints])
        )
    for message in (*(f"Left out {each}" for each in bad), *hints):
        logger.warning_once(message)  # a file may be read twice


def as_conversations(
    rows: Dataset,
    dna: str = "variant",
    dna_truncation: str = "variant_window",
    change: Callable[[Mapping], Mapping] | None = None,
) -> Dataset:
    """A view of rows in which each is a conversation, in the column `messages`, made when it is read.

    Args:
        rows: Rows that `load_rows` has checked: they are not checked again. Their sequences are whole, for the
            processor to cut them to windows.
        dna: See `row_to_messages`.
        dna_truncation: See `row_to_messages`.
        change: What each row goes through whenever it is read, such as a `RowDropout`.
    """
    return rows.with_transform(partial(_as_conversations, change=change, dna=dna, dna_truncation=dna_truncation))


def _as_conversations(batch: dict[str, list], change: Callable | None, **options) -> dict[str, list]:
    rows = (dict(zip(batch, values)) for values in zip(*batch.values()))
    return {"messages": [build_messages(change(row) if change else row, **options) for row in rows]}


def estimate_lengths(conversations: Dataset, processor: TextGenomeProcessor) -> list[int]:
    """How long rows are in tokens, roughly: a token for four characters of text, and DNA in proportion to a window.

    Near enough to put rows of similar length together, and much cheaper than tokenizing them.

    Args:
        conversations: See `as_conversations`.
        processor: Whose windows and placeholders are counted.
    """
    window = ("ACGT" * processor.dna_window)[: processor.dna_window]
    ids = processor.dna_tokenizer(window)["input_ids"]
    pool_ids = None
    if processor.projector_type == "pooled":
        near, middle = processor.projector_full_resolution, len(ids) // 2
        pool_ids = processor.pool_ids(ids, set(range(middle - near, middle + near + 1)))
    placeholders = processor.num_placeholders(ids, pool_ids)
    lengths = []
    for row in Progress(conversations, desc="Measuring rows", unit="row"):
        characters = sum(len(text) for text in texts_of([row["messages"]]))
        bases = 0
        contents = [message["content"] for message in row["messages"]]
        for block in (block for content in contents if not isinstance(content, str) for block in content):
            bases += len(block.get("dna") or "")
            bases += sum(min(len(block.get(name) or ""), len(window)) for name in ("reference", "variant"))
        lengths.append(characters // 4 + bases * placeholders // len(window))
    return lengths


def list_splits(name: str) -> list[str]:
    """Names of the splits of a table, as `load_rows` takes them.

    Raises:
        FileNotFoundError: If there is no such file, folder or data set.
        ValueError: If a folder holds no files of a known format, or it is not clear which split they are.
    """
    if name in BUILT_IN:
        return built_in_splits(name)
    path = Path(name)
    if path.exists():
        return list(find_files(path)[0]) if path.is_dir() else ["train"]
    if is_hub_id(name):
        from datasets import get_dataset_split_names

        return get_dataset_split_names(name)
    raise FileNotFoundError(f"{name}: there is no such file or folder. A data set on the Hub is named OWNER/NAME.")


def is_hub_id(name: str | None) -> bool:
    """Whether a name can only be one on the Hub: `owner/name` in letters that the Hub takes, and no file or folder."""
    if not name or "/" not in name or table_format(name) or Path(name).exists():
        return False
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def _read(name: str, split: str) -> Iterator[tuple[str, int, dict]]:
    """File, number in the file, and row."""
    split, path = _known_split(name, split), Path(name)
    if not path.exists():
        from datasets import load_dataset

        for number, row in enumerate(load_dataset(name, split=split)):
            yield f"{name} ({split})", number, row
        return
    files = [path]
    if path.is_dir():
        found, left_out = find_files(path)
        files = found[split]
        logger.warning(describe_files(path, split, files, left_out))
    for file in files:
        for number, row in enumerate(read_table(file)):
            yield str(file.relative_to(path)) if path.is_dir() else file.name, number, row


def _known_split(name: str, split: str) -> str:
    splits = list_splits(name)
    meant = [name for name in splits if name == split] or [
        name for name in splits if split in SPLIT_OF and SPLIT_OF.get(name) == SPLIT_OF[split]
    ]
    if meant:
        return meant[0]
    raise ValueError(
        f"{name}: there is no split {split!r}, only {', '.join(splits)}. Name one by --split or, to train, by "
        "--dataset_train_split and --dataset_test_split."
    )


def fingerprint_rows(rows: Iterable[Mapping]) -> str:
    """SHA-256 of the rows, whatever file they came in."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row, sort_keys=True, default=str).encode())
    return digest.hexdigest()


__all__ = [
    "as_conversations",
    "estimate_lengths",
    "fingerprint_rows",
    "is_hub_id",
    "list_splits",
    "load_rows",
    "read_rows",
    "report_bad_rows",
]
