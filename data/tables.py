"""Files of tables to rows. What cannot be read as it is meant is refused, with its place, never altered or dropped."""

import codecs
import csv
import gzip
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO

from pyarrow import parquet

from textgenome.data.conversations import DNA_COLUMNS, TEXT_COLUMNS, BadRow
from textgenome.data.texts import check_unicode
from textgenome.genome.fasta import read_records


GZIP = b"\x1f\x8b"
# By the mark at their start; UTF-32 first, for its mark starts with that of UTF-16.
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
FASTA = (".fa", ".fasta", ".fna")
LONGEST_FIELD = 2**31 - 1
DEPTH = 100
PARQUET_ROWS = 256  # that are read at a time
DIGITS = 100  # of integers that are read, to be told by their bits that they are too long


def read_table(path: Path) -> Iterator:
    """The rows of a file, in their order, all values of CSV and TSV as text. The file is read as they are asked for.

    Yields:
        Each row as a dict; or as `BadRow`, where it cannot be read; or as what else a JSON file holds in its place.

    Raises:
        ValueError: If the file is of another format, or cannot be read. The message names it.
    """
    suffix = table_format(path)
    if suffix is None:
        raise ValueError(f"{path}: cannot read {path.suffix or 'such'} files, only {formats_in_words()}.")
    try:
        if suffix in FASTA:
            yield from _read_fasta(path)
            return
        with _open_bytes(path) as file:
            yield from READERS[suffix](file)
    except Exception as error:
        raise ValueError(f"{path}: cannot be read: {str(error) or type(error).__name__}") from error


def table_format(path: str | Path) -> str | None:
    """The ending in `READERS` or `FASTA` that a file has, before `.gz` if there is one, in any case; or None."""
    suffix = Path(Path(path).name.lower().removesuffix(".gz")).suffix
    return suffix if suffix in READERS or suffix in FASTA else None


def formats_in_words() -> str:
    return f"{', '.join([*READERS, *FASTA])}, and these with .gz"


def check_values(value, column: str = "all", depth: int = 0) -> None:
    """Check that what a row holds, at any depth, can be kept as it is.

    Args:
        value: The row, or a part of it.
        column: Of the row, in which the part is.
        depth: How many objects and lists the part is in.

    Raises:
        BadRow: If a text is not Unicode, an integer has more than 64 bits, an object has a key twice, or objects and
            lists are nested more than `DEPTH` deep.
    """
    if depth > DEPTH:
        raise BadRow(column, f"objects or lists are nested more than {DEPTH} deep")
    if isinstance(value, BadRow):
        raise BadRow(value.column if column == "all" else column, str(value))
    if isinstance(value, str):
        try:
            check_unicode(value)
        except ValueError as error:
            raise BadRow(column, str(error)) from error
    elif isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise BadRow(column, f"the integer has {value.bit_length()} bits, at most 63 and a sign can be kept")
    elif isinstance(value, Mapping):
        for key, each in value.items():
            check_values(key, column)
            check_values(each, key if column == "all" else column, depth + 1)
    elif isinstance(value, list | tuple):
        for each in value:
            check_values(each, column, depth + 1)


def read_text(path: str | Path) -> str:
    """The text of a file that is not a table, see `_lines_of`.

    Raises:
        ValueError: If it is not text in UTF-8. The message names file and line.
    """
    try:
        with _open_bytes(Path(path)) as file:
            text = "".join(_lines_of(file, newline=""))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    for number, line in enumerate(text.split("\n"), start=1):
        try:
            check_unicode(line)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
    return text


@contextmanager
def _open_bytes(path: Path) -> Iterator[BinaryIO]:
    """The content of a file, uncompressed if it is compressed by gzip, whatever its name."""
    with path.open("rb") as file:
        if not file.peek(2).startswith(GZIP):
            yield file
            return
        with gzip.open(file) as unpacked:
            yield unpacked


def _lines_of(file: BinaryIO, newline: str) -> Iterator[str]:
    """The lines of text in UTF-8, or in UTF-16 or UTF-32 with a byte order mark, each with its end.

    Bytes that are not UTF-8 become lone surrogates.

    Args:
        file: Opened to read bytes.
        newline: See `open`.

    Raises:
        ValueError: If a line holds a NUL byte, as UTF-16 without a mark does, or is not what the mark says.
    """
    start, before = file.peek(4), 0
    encoding = next((MARKS[mark] for mark in MARKS if start.startswith(mark)), "utf-8")
    for line in io.TextIOWrapper(file, encoding, errors="surrogateescape", newline=newline):
        if "\0" in line:
            raise ValueError(f"line {before + 1} holds a NUL byte: it is not text in UTF-8, save it as such")
        before += line.count("\n")
        yield line


def split_csv(text: str | Iterable[str], delimiter: str = ",") -> Iterator[list[str]]:
    """The fields of each row of CSV, in double quotes where they hold the delimiter, without blank lines.

    Args:
        text: The text, or its lines with their ends.
        delimiter: Between two fields.

    Raises:
        ValueError: If a quote is not closed, or more follows it in its field. The message names the line.
    """
    lines = io.StringIO(text, newline="") if isinstance(text, str) else text
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    limit = csv.field_size_limit(LONGEST_FIELD)
    try:
        yield from filter(None, reader)
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}; is each double quote closed?") from error
    finally:
        csv.field_size_limit(limit)


def _read_csv(file: BinaryIO, delimiter: str = ",") -> Iterator[dict | BadRow]:
    rows = split_csv(_lines_of(file, newline=""), delimiter)
    header = next(rows, None)
    if header is None:
        raise ValueError("it is empty")
    _check_columns_once(header)
    for fields in rows:
        yield _csv_row(header, fields)


def _csv_row(header: list[str], fields: list[str]) -> dict | BadRow:
    if len(fields) > len(header):
        hint = "put text that holds the delimiter, or a line break, into double quotes"
        return BadRow(header[-1], f"the row has {len(fields)} fields, but the header {len(header)}: {hint}")
    if len(fields) < len(header):
        return BadRow(header[len(fields)], f"the row has {len(fields)} fields, but the header {len(header)}")
    return dict(zip(header, fields))


def _read_tsv(file: BinaryIO) -> Iterator[dict | BadRow]:
    return _read_csv(file, delimiter="\t")


def _read_json(file: BinaryIO) -> Iterator:
    """One value on each line, or in several lines, or a list. Lines end with a line feed only: U+2028 may be part of a
    text."""
    lines = _lines_of(file, newline="\n")
    start = next((line for line in lines if line.strip()), "")
    if start.lstrip().startswith("["):
        yield from DECODER.decode("".join([start, *lines]))
        return
    rows = _json_values(chain([start], lines))
    first = list(islice(rows, 2))
    _check_no_wrapper(first)
    yield from chain(first, rows)


def _json_values(lines: Iterator[str]) -> Iterator:
    for line in filter(str.strip, lines):
        try:
            yield DECODER.decode(line.rstrip())
        except (ValueError, RecursionError):
            # It may go on in the next lines, as in a file that was written for people to read.
            yield from _json_values_of(line + "".join(lines))


def _json_values_of(text: str) -> Iterator:
    start = 0
    while start < len(text):
        end = _line_end(text, start)
        if text[start:end].strip():
            value, end = _json_value(text, start, end)
            yield value
        start = end + 1


def _json_value(text: str, start: int, end: int) -> tuple[dict | BadRow, int]:
    """The value that starts in a line, and where the line ends in which it does."""
    line = text[start:end].rstrip()
    try:
        return DECODER.decode(line), end
    except json.JSONDecodeError as error:
        bad = BadRow("all", f"{error.msg} at position {error.pos} of the line: the row is not a JSON object")
        if error.pos < len(line) - 1:
            return bad, end
    except (ValueError, RecursionError) as error:
        return BadRow("all", f"the row cannot be read: {error}"), end
    try:  # the line ends within it
        value, stop = DECODER.raw_decode(text, start + len(line) - len(line.lstrip()))
    except (ValueError, RecursionError) as error:
        return BadRow("all", f"{error}: the row is not a JSON object"), end
    end = _line_end(text, stop)
    if text[stop:end].strip():
        return BadRow("all", "more follows in the line in which the JSON object ends"), end
    return value, end


def _line_end(text: str, start: int) -> int:
    end = text.find("\n", start)
    return len(text) if end < 0 else end


def _json_object(pairs: list[tuple[str, object]]) -> dict:
    found = dict(pairs)
    if len(found) < len(pairs):
        for key, count in Counter(key for key, _ in pairs).items():
            if count > 1:  # for `check_values` to raise: here it would stop the reading of all rows
                found[key] = BadRow(key, f"the key {key!r} occurs twice in one object")
    return found


def _json_integer(digits: str) -> int | BadRow:
    # Python reads no more than 4,300 digits.
    return int(digits) if len(digits) <= DIGITS else BadRow("all", f"the integer has {len(digits)} digits")


def _check_no_wrapper(rows: list) -> None:
    """Raise a `ValueError` if rows lie within one object, as `{"data": [...]}`."""
    if len(rows) != 1 or not isinstance(rows[0], dict) or {*TEXT_COLUMNS, *DNA_COLUMNS, "messages"} & {*rows[0]}:
        return
    for key, value in rows[0].items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            raise ValueError(f"its rows are in {key!r} of one object: write them as a list, or one on each line")


def _read_parquet(file: BinaryIO) -> Iterator[dict]:
    table = parquet.ParquetFile(io.BytesIO(file.read()) if isinstance(file, gzip.GzipFile) else file)
    _check_columns_once(table.schema_arrow.names)
    for batch in table.iter_batches(PARQUET_ROWS):
        yield from batch.to_pylist()


def _read_fasta(path: Path) -> Iterator[dict]:
    """Records as rows with `name` and `sequence`, and `label` if there is a `|` in the name: what follows the last."""
    for header, letters in read_records(path):
        name, bar, label = header.rpartition("|")
        yield {"name": name if bar else header, "sequence": letters, **({"label": label} if bar else {})}


def _check_columns_once(names: list[str]) -> None:
    twice = [repr(name) for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"it has two columns of the name {', '.join(twice)}")


DECODER = json.JSONDecoder(object_pairs_hook=_json_object, parse_int=_json_integer)
READERS: dict[str, Callable[[BinaryIO], Iterator]] = {
    ".parquet": _read_parquet,
    ".json": _read_json,
    ".jsonl": _read_json,
    ".csv": _read_csv,
    ".tsv": _read_tsv,
}

__all__ = ["READERS", "check_values", "formats_in_words", "read_table", "read_text", "split_csv", "table_format"]
