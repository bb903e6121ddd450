"""Reading FASTA files."""

import gzip
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

from textgenome.genome.faidx import check_start, contig_name, ensure_index
from textgenome.genome.intervals import printable


try:
    import pysam
except ImportError:
    pysam = None


def open_fasta(path: str | Path) -> "pysam.FastaFile":
    """Open a genome, plain or compressed by bgzip.

    An index that is missing, older than the genome or that of another file is written anew beside it; that is logged.

    Raises:
        OSError: If pysam is missing, or the file or its index cannot be read or written.
        ValueError: If the file is not a FASTA file whose places can be computed; the message names the line.
    """
    if pysam is None:
        raise OSError("Reading FASTA files needs pysam: pip install 'textgenome[genome]'.")
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path}: there is no such file.")
    if not os.path.isfile(path):
        raise OSError(f"{path}: the genome must be a file, for it is read at any place, as a pipe cannot be.")
    ensure_index(path)
    return pysam.FastaFile(str(path))


def fetch(genome: "pysam.FastaFile", contig: str, start: int, end: int) -> str:
    """Bases of an open genome, from `start` (counted from 0) to before `end`.

    Raises:
        ValueError: If they cannot be read.
    """
    try:
        return genome.fetch(contig, start, end)
    except (OSError, ValueError) as error:
        place = f"{printable(contig)}:{start + 1}-{end}"
        raise ValueError(f"{genome.filename.decode()}: {place} cannot be read: it holds no bases.") from error


def read_records(path: str | Path) -> Iterator[tuple[str, str]]:
    """Name and letters of each record of a FASTA file or pipe, plain or compressed by gzip, one after the other.

    Needs neither pysam nor an index, and lines may differ in length; the memory is that of the longest record.

    Raises:
        OSError: If the file cannot be opened.
        ValueError: If it is not a FASTA file, or a record has no name, the name of another one, or no bases. The
            message gives the line.
    """
    names, name, bases, began, number = {}, None, [], 0, 0
    with open(path, "rb") as file:
        lines = gzip.open(file) if file.peek(2)[:2] == b"\x1f\x8b" else file
        try:
            for number, line in enumerate(lines, 1):
                if number == 1:
                    check_start(line)
                if line.startswith(b">"):
                    if name is not None:
                        yield name, _letters(name, bases, began)
                    name, bases, began = contig_name(line), [], number
                    if name in names:
                        raise ValueError(f"the record {printable(name)} is there already, on line {names[name]}")
                    names[name] = number
                elif name is not None:
                    bases.append(line.strip())
                elif line.strip():
                    raise ValueError("a FASTA file starts with `>` and the name of a record")
            if name is None:
                raise ValueError("there is no record")
            yield name, _letters(name, bases, began)
        except (EOFError, gzip.BadGzipFile, zlib.error, ValueError) as error:
            raise ValueError(f"{path}, line {number}: {error}.") from error


def _letters(name: str, lines: list[bytes], began: int) -> str:
    letters = b"".join(lines).decode("utf-8", "surrogateescape")
    if not letters:
        raise ValueError(f"the record {printable(name)}, which begins on line {began}, has no bases")
    return letters


def read_record(path: str | Path) -> str:
    """The letters of the only record of a FASTA file or pipe, whitespace included.

    Raises:
        ValueError: If it holds anything but one record.
    """
    content = Path(path).read_bytes()
    if content.startswith(b"\x1f\x8b"):
        raise ValueError(f"{path}: it is compressed. Uncompress it.")
    text = content.decode("utf-8-sig", "surrogateescape").replace("\r", "\n").strip()
    if not text:
        raise ValueError(f"{path}: the file is empty.")
    if not text.startswith(">"):
        raise ValueError(f"{path}: it is not a FASTA file, which starts with `>`, in UTF-8.")
    records = text.count("\n>") + 1
    if records > 1:
        raise ValueError(f"{path}: expected a FASTA file with one record, but there are {records}.")
    return "".join(text.split("\n")[1:])


__all__ = ["fetch", "open_fasta", "read_record", "read_records"]
