"""Reading and writing files and folders that are there only once they are whole."""

import glob
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from textgenome.data.locks import Lock


# By ending, which method of a `pandas.DataFrame` writes it, and how.
TABLES = {
    ".tsv": ("to_csv", {"sep": "\t", "index": False}),
    ".csv": ("to_csv", {"index": False}),
    ".jsonl": ("to_json", {"orient": "records", "lines": True}),
    ".parquet": ("to_parquet", {"index": False}),
}


def read_json(path: Path) -> dict | None:
    """The object in a JSON file, or None if the file does not exist.

    Raises:
        ValueError: If the file was cut off, or holds something else.
    """
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} cannot be read, it may have been cut off: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no JSON object, but a {type(content).__name__}.")
    return content


def write_json(path: Path, content: dict) -> None:
    unfinished = Path(f"{path}.unfinished")
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


def json_line(row: Mapping) -> str:
    """A row as a line of a file of JSON lines."""
    return json.dumps(row, ensure_ascii=False) + "\n"


def write_rows(rows: Iterable[Mapping], path: str | Path) -> int:
    """Write rows as JSON lines; the file is there only once all are written, in place of one that was.

    Returns:
        How many there were.

    Raises:
        OSError: If another process writes it.
    """
    number = 0
    with _scratch(Path(path)) as unfinished:
        with unfinished.open("w", encoding="utf-8") as file:
            for row in rows:
                file.write(json_line(row))
                number += 1
        unfinished.replace(path)
    return number


def write_table(rows: list[Mapping], path: str | Path) -> None:
    """Write rows as the ending of a new file says: .tsv, .csv, .jsonl or .parquet.

    Raises:
        OSError: If another process writes it.
        ValueError: If the ending is another, or the file is there already.
    """
    import pandas  # takes a quarter of a second, and most commands write no table

    refuse_unknown_table(path)
    frame = pandas.DataFrame.from_records(list(rows))
    with _scratch(Path(path)) as unfinished:
        method, options = TABLES[unfinished.suffix]
        getattr(frame, method)(unfinished, **options)
        unfinished.replace(path)


def refuse_unknown_table(path: str | Path) -> None:
    """Raise ValueError where `write_table` cannot write."""
    if Path(path).suffix not in TABLES:
        raise ValueError(f"{path}: name a file that ends with {', '.join(TABLES)}.")
    if Path(path).exists():
        raise ValueError(f"{path} is there already. Remove it, or name another file.")


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """A folder to write into, which gets its name when all is written, and is gone if that fails.

    Raises:
        FileExistsError: If `folder` is there and not empty.
        OSError: If another process writes it, or the disk is full.
    """
    refuse_existing(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _scratch(folder) as unfinished:
        refuse_existing(folder)
        unfinished.mkdir()
        yield unfinished
        unfinished.rename(folder)


def refuse_existing(folder: Path) -> None:
    """Raise FileExistsError for what is there, but for an empty folder."""
    if os.path.lexists(folder) and not (folder.is_dir() and not any(folder.iterdir())):
        raise FileExistsError(f"{folder} is there already. Remove it, or name another folder.")


@contextmanager
def _scratch(place: Path) -> Iterator[Path]:
    """Where to write what will be moved to a place. What a killed process left of the same is removed."""
    lock = Lock(place, place.with_name(f".{place.name}.lock"))
    try:
        prefix = f".{place.name}.unfinished-"
        for left in glob.glob(f"{glob.escape(prefix)}*", root_dir=place.parent, include_hidden=True):
            shutil.rmtree(place.parent / left, ignore_errors=True)
        with TemporaryDirectory(prefix=prefix, dir=place.parent) as scratch:
            yield Path(scratch) / place.name  # unlike the folder around it, as readable as any
    except Exception as error:
        # Of a full disk and the like the system names no file, nor do the Rust libraries, with errors of their own.
        unnamed = isinstance(error, OSError) and error.errno is not None and error.filename is None
        if unnamed or "(os error " in str(error):
            raise OSError(f"{place} could not be written: {error}") from error
        raise
    finally:
        lock.release()


__all__ = [
    "json_line",
    "read_json",
    "refuse_existing",
    "refuse_unknown_table",
    "write_json",
    "write_rows",
    "write_table",
    "written_whole",
]
