"""Reading FASTA files."""

import os
from pathlib import Path

from textgenome.genome.faidx import ensure_index
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
        ValueError: If the file is no FASTA file whose places can be computed; the message names the line.
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
        raise ValueError(f"{path}: it is no FASTA file, which starts with `>`, in UTF-8.")
    records = text.count("\n>") + 1
    if records > 1:
        raise ValueError(f"{path}: expected a FASTA file with one record, but there are {records}.")
    return "".join(text.split("\n")[1:])


__all__ = ["fetch", "open_fasta", "read_record"]
