"""Reading VCF files line by line, as text, so that nothing is altered by reading."""

import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from textgenome.genome.bgzf import open_bytes
from textgenome.genome.intervals import Variant, printable


try:
    import pysam
except ImportError:
    pysam = None


COLUMNS = ("ID", "QUAL", "FILTER")
MISSING = ("", ".")
_FIXED = ("#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO")
_INFO = "##INFO=<"
_QUOTED = re.compile(r'"(?:\\.|[^"\\])*"')
_ATTRIBUTE = re.compile(r"(\w+)=([^,>]*)")
_POSITION = re.compile(r"[0-9]{1,18}")
_REASON = re.compile(r"^\[E::\w+\] (.+)", re.MULTILINE)
_BASES = re.compile(r"[ACGTUN]{13,}", re.IGNORECASE)


class Record(NamedTuple):
    """A record: its columns as text, those after INFO as one."""

    columns: list[str]

    @property
    def contig(self) -> str:
        return self.columns[0]

    @property
    def start(self) -> int:
        """The first base of REF, counted from 0."""
        return int(self.columns[1]) - 1

    @property
    def reference(self) -> str:
        return self.columns[3]

    @property
    def alleles(self) -> list[str]:
        """The ALT alleles."""
        return [] if self.columns[4] == "." else self.columns[4].split(",")

    @property
    def info(self) -> list[str]:
        """What INFO holds: keys with their values."""
        return [field for field in self.columns[7].split(";") if field not in MISSING]

    @property
    def place(self) -> str:
        """`contig:position`, for messages."""
        return f"{printable(self.contig)}:{self.columns[1]}"

    def variant(self, allele: str) -> Variant:
        """One ALT allele."""
        return Variant(self.contig, self.start, self.reference, allele)


class VcfFile:
    """The text of an open VCF file: lines of the header, names of the columns and, iterating, its records.

    Bytes that are not UTF-8 are surrogates, which `encode_line` makes the same bytes again.
    """

    def __init__(self, path: str | Path, lines: Iterator[str]):
        self.path, self._lines = path, lines
        self.header, self.columns = _read_header(path, lines)

    @property
    def samples(self) -> list[str]:
        """Names of the people whose genotypes it has."""
        return self.columns[9:]

    @property
    def info_numbers(self) -> dict[str, str]:
        """By the keys of INFO that the header declares: how many values each has (`1`, `A`, `.`)."""
        return {key: number for key, number in map(declared_info, self.header) if key is not None}

    def __iter__(self) -> Iterator[Record]:
        """The records, one after the other.

        Raises:
            ValueError: If a line is not a record; the message gives its number.
        """
        for number, line in enumerate(self._lines, len(self.header) + 2):
            wrong = _wrong_in(line, self.columns)
            if wrong:
                raise ValueError(f"{self.path}, line {number}: {wrong}.")
            yield Record(line.split("\t", 8))


@contextmanager
def open_vcf(path: str | Path) -> Iterator[VcfFile]:
    """Open a VCF file or pipe, plain or compressed by bgzip, or a BCF file.

    Raises:
        OSError: If pysam is missing, or the file cannot be opened.
        ValueError: If it has another format, or its header is not that of VCF; the message gives the line.
    """
    if pysam is None:
        raise OSError("Reading VCF files needs pysam: pip install 'textgenome[genome]'.")
    with open_bytes(path) as file:
        is_bcf = file.peek(3).startswith(b"BCF")
        yield VcfFile(path, _lines_of_bcf(path) if is_bcf else map(_decode, file))


def _decode(line: bytes) -> str:
    return line.rstrip(b"\r\n").decode("utf-8", "surrogateescape")


def encode_line(line: str) -> bytes:
    """The bytes of a line, with its end."""
    return f"{line}\n".encode("utf-8", "surrogateescape")


def _lines_of_bcf(path: str | Path) -> Iterator[str]:
    if not os.path.isfile(path):
        raise ValueError(f"{path}: a BCF file cannot come from a pipe: give the file, or a VCF file.")
    with quiet_htslib():
        try:
            with pysam.VariantFile(str(path)) as records:
                yield from str(records.header).rstrip("\n").split("\n")
                for record in records:
                    yield str(record).rstrip("\n")
        except (OSError, ValueError, NotImplementedError) as error:
            raise ValueError(f"{path}: cannot be read: {reason_of_htslib(path) or error}.") from error


@contextmanager
def quiet_htslib(verbosity: int = 0) -> Iterator[None]:
    """Have htslib not print what it cannot parse, bases too."""
    before = pysam.set_verbosity(verbosity)
    try:
        yield
    finally:
        pysam.set_verbosity(before)


def reason_of_htslib(path: str | Path) -> str | None:
    """Why htslib cannot read a file: it says so to the error stream of the process, and nowhere else."""
    error_stream = os.dup(2)
    with tempfile.TemporaryFile() as file, quiet_htslib(verbosity=1):
        os.dup2(file.fileno(), 2)
        try:
            with pysam.VariantFile(str(path)) as records:
                for _ in records:
                    pass
        except (OSError, ValueError, NotImplementedError):
            pass
        finally:
            os.dup2(error_stream, 2)
            os.close(error_stream)
        file.seek(0)
        reasons = _REASON.findall(file.read().decode("utf-8", "surrogateescape"))
    return printable(_BASES.sub("...", reasons[-1])) if reasons else None


def _read_header(path: str | Path, lines: Iterator[str]) -> tuple[list[str], list[str]]:
    header = []
    for number, line in enumerate(lines, 1):
        if number == 1:
            _check_start(path, line)
        if not line.startswith("##"):
            wrong = _wrong_in_columns(line)
            if wrong:
                raise ValueError(f"{path}, line {number}: {wrong}.")
            return header, line.split("\t")
        header.append(line)
    if not header:
        raise ValueError(f"{path}: the file is empty.")
    raise ValueError(f"{path}: it ends within the header, before the line that starts with #CHROM.")


def _check_start(path: str | Path, line: str) -> None:
    if line.startswith("\ufeff"):
        raise ValueError(f"{path}: it starts with a byte order mark, which VCF does not allow: save it without.")
    if line.startswith(("\udcff\udcfe", "\udcfe\udcff")):
        raise ValueError(f"{path}: it is text in UTF-16: save it in UTF-8.")
    if "\r" in line:
        raise ValueError(f"{path}: lines end with a carriage return alone: end them with a line feed.")
    if line.startswith("#") and not line.startswith("##fileformat=VCF"):
        raise ValueError(f"{path}: its first line is not ##fileformat=VCFv4.2 or another version, as in VCF files.")
    if not line.startswith("#"):
        blank = "the first line is blank" if not line.strip() else "it is not a VCF or BCF file"
        raise ValueError(f"{path}: {blank}.")


def _wrong_in_columns(line: str) -> str | None:
    """What is wrong with the line that names the columns."""
    names = line.split("\t")
    if tuple(names[:8]) != _FIXED:
        if tuple(line.split()[:8]) == _FIXED:
            return "the names of the columns are separated by spaces, but VCF has tabs"
        return f"after the lines with ## comes one that is {' '.join(_FIXED)}, separated by tabs"
    if len(names) > 8 and (names[8] != "FORMAT" or len(names) == 9):
        return "after INFO come FORMAT and the names of samples, or nothing"
    samples = names[9:]
    if "" in samples:
        return "a sample has no name"
    twice = [name for name, count in Counter(samples).items() if count > 1]
    return f"the sample {printable(twice[0])} is there twice" if twice else None


def _wrong_in(line: str, columns: list[str]) -> str | None:
    """What is wrong with the line of a record."""
    number = line.count("\t") + 1
    if not line.strip():
        return "it is blank"
    if "\0" in line:
        return "it holds a null byte, after which many tools read no more"
    if number == 1 and " " in line:
        return "its columns are separated by spaces, but VCF has tabs"
    if number != len(columns):
        return f"it has {number} columns, but the header names {len(columns)}"
    if not _POSITION.fullmatch(line.split("\t", 2)[1]):
        return "column 'POS': it is not a whole number"
    return None


def declared_info(line: str) -> tuple[str | None, str]:
    """The key of INFO that a line of the header declares, if it does, and its number of values."""
    if not line.startswith(_INFO):
        return None, "."
    attributes = dict(_ATTRIBUTE.findall(_QUOTED.sub("", line.removeprefix(_INFO))))
    return attributes.get("ID"), attributes.get("Number", ".")


def kind_without_bases(allele: str) -> str:
    """What to call an ALT allele that gives no sequence."""
    if allele == "*":
        return "spanning deletions (*)"
    return "symbolic alleles" if allele.startswith("<") else "breakends and other alleles without a sequence"


def label_of(record: Record, number: int, key: str, values: str = ".") -> str:
    """What a record says of its ALT allele `number`, in the column `ID`, `QUAL` or `FILTER`, or a key of INFO.

    Args:
        record: The record.
        number: Of the allele, from 0.
        key: The column or key.
        values: How many values the header says that the key has: `A` and `R` give each allele its own.

    Raises:
        ValueError: If it says nothing, only in part, or has another number of values than alleles.
    """
    text = record.columns[_FIXED.index(key)] if key in COLUMNS else _value_of(record, key, values)
    if text in MISSING:
        raise ValueError("there is no value")
    parts = text.split(",") if key not in COLUMNS else [text]
    if values in ("A", "R"):
        # Of the reference allele, too, where the header says R.
        first = int(values == "R")
        if len(parts) != len(record.alleles) + first and any(part not in MISSING for part in parts):
            raise ValueError(f"there are {len(parts)} values for {len(record.alleles)} ALT alleles")
        parts = parts[first + number : first + number + 1]
    missing = [part for part in parts if part in MISSING]
    if len(missing) == len(parts):
        raise ValueError("there is no value")
    if missing:
        raise ValueError("a value of its list is missing (.)")
    try:
        text = unquote(",".join(parts), errors="strict")
        text.encode()
    except UnicodeError as error:
        raise ValueError("it is not text in UTF-8") from error
    return text


def _value_of(record: Record, key: str, values: str) -> str:
    found = [value for name, _, value in (field.partition("=") for field in record.info) if name == key]
    if len(found) > 1:
        raise ValueError("the key is there twice")
    return "True" if found and values == "0" else "".join(found)


__all__ = [
    "COLUMNS",
    "Record",
    "VcfFile",
    "declared_info",
    "encode_line",
    "kind_without_bases",
    "label_of",
    "open_vcf",
    "quiet_htslib",
    "reason_of_htslib",
]
