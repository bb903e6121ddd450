"""Reading tables of rows from files or from the Hub, and leaving out or refusing bad rows."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from datasets import Dataset, concatenate_datasets, load_dataset, load_dataset_builder
from tqdm import tqdm
from transformers.utils import logging

from textgenome.processing.conversations import BadRow, row_to_messages


logger = logging.get_logger(__name__)

FORMATS = {".parquet": "parquet", ".json": "json", ".jsonl": "json", ".csv": "csv"}
SPLIT_NAMES = {"val": "validation", "valid": "validation", "dev": "validation"}
ROWS_SHOWN = 10
_FILE, _ROW = "__file__", "__row__"


def load_rows(name: str, split: str, on_bad_row: str = "raise", **conversation_options) -> Dataset:
    """Load one split of a table, and check every row.

    Files of the user are read into memory and leave no copy in the cache of `datasets`.

    Args:
        name: A file (JSON, JSON lines, CSV or Parquet), a folder of them in which the split stands in the file names
            (`train.parquet`, `val-00001.jsonl`...), or the id of a data set on the Hub.
        split: Name of the split; `val` and `validation` mean the same. A single file holds the split `train`.
        on_bad_row: `raise` refuses a table with a bad row; `skip` leaves such rows out and logs each.
        conversation_options: See `row_to_messages`.

    Returns:
        The rows, in the columns in which they came.

    Raises:
        FileNotFoundError: If there is no such file, folder or data set.
        ValueError: If there is no such split, a file cannot be read, or rows are bad. The message names file, row
            (counted from 0), column and position of up to ten of them.
    """
    rows = concatenate_datasets([*_load_files(name, SPLIT_NAMES.get(split, split))])
    good, bad = [], []
    for i, row in enumerate(tqdm(rows, desc=f"Checking {split} rows", unit="row", disable=None)):
        try:
            row_to_messages(row, **conversation_options)
            good.append(i)
        except BadRow as error:
            bad.append(f"{row[_FILE]}, row {row[_ROW]}, column {error.column!r}: {error}")
    if bad and on_bad_row == "raise":
        shown = "\n".join(bad[:ROWS_SHOWN])
        rest = f"\n... and {len(bad) - ROWS_SHOWN} more" if len(bad) > ROWS_SHOWN else ""
        raise ValueError(
            f"{len(bad)} of {len(rows)} rows are bad. Mend them, or leave them out with --on_bad_row skip.\n"
            f"{shown}{rest}"
        )
    for message in bad:
        logger.warning(f"Left out {message}")
    if not good:
        raise ValueError(f"{name}: the split {split!r} holds no usable row.")
    return rows.select(good).remove_columns([_FILE, _ROW])


def as_conversations(rows: Dataset, **conversation_options) -> Dataset:
    """A view of rows in which each is a conversation, in the column `messages`, made when it is read.

    Args:
        rows: Rows as `row_to_messages` takes them.
        conversation_options: See `row_to_messages`.
    """
    return rows.with_transform(partial(_batch_as_conversations, **conversation_options))


def _batch_as_conversations(batch: dict[str, list], **conversation_options) -> dict[str, list]:
    rows = (dict(zip(batch, values)) for values in zip(*batch.values()))
    return {"messages": [row_to_messages(row, **conversation_options) for row in rows]}


def _load_files(name: str, split: str) -> Iterator[Dataset]:
    path = Path(name)
    if not path.exists():
        yield _with_origin(load_dataset(name, split=split), f"{name} ({split})")
        return
    if path.is_file():
        if path.suffix not in FORMATS:
            raise ValueError(f"{name}: cannot read {path.suffix or 'this'} files, only {', '.join(FORMATS)}.")
        files = {"train": [str(path)]}
    else:
        files = load_dataset_builder(str(path)).config.data_files
    if split not in files:
        raise ValueError(f"{name}: there is no split {split!r}, only {', '.join(map(str, files))}.")
    for file in files[split]:
        try:
            stream = load_dataset(FORMATS[Path(file).suffix], data_files=str(file), split="train", streaming=True)
            yield _with_origin(Dataset.from_list(list(stream), on_mixed_types="use_json"), Path(file).name)
        except Exception as error:
            raise ValueError(f"{file}: cannot be read: {error}") from error


def _with_origin(rows: Dataset, file: str) -> Dataset:
    return rows.add_column(_FILE, [file] * len(rows)).add_column(_ROW, list(range(len(rows))))


__all__ = ["as_conversations", "load_rows"]
