"""Reading BED files: stretches of a genome, with a name and a strand where the file gives them."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from textgenome.genome.intervals import Interval, printable


STRANDS = {"+": "+", "-": "-", ".": "+"}  # where none is given, bases are read as the genome has them
_GZIP = b"\x1f\x8b"
_NO_REGION = ("#", "track", "browser")


class Region(NamedTuple):
    """A line of a BED file. Places are 0-based and half-open; `strand` is `+` or `-`.

    `has_strand` tells whether the file gives it, and `line` is where in the file the region is, counted from 1.
    """

    contig: str
    start: int
    end: int
    name: str
    strand: str = "+"
    has_strand: bool = False
    line: int = 0

    @property
    def interval(self) -> Interval:
        return Interval(self.contig, self.start, self.end)


def read_bed(path: str | Path) -> Iterator[Region]:
    """The regions of a BED file, plain or compressed by gzip or bgzip, line by line.

    Columns after the sixth are not read. A region without a name gets `contig:first-last`, counted from 1. Places may
    be negative or past the end of a contig: what such a region holds is for the reader of the genome to say.

    Raises:
        OSError: If the file cannot be opened.
        ValueError: If a line is not a region; the message gives file and line.
    """
    found = False
    with open(path, "rb") as file:
        opened = gzip.open(file) if file.peek(2)[:2] == _GZIP else file
        for number, line in enumerate(opened, 1):
            text = line.decode("utf-8", "surrogateescape").rstrip("\r\n")
            if not text.strip() or text.startswith(_NO_REGION):
                continue
            try:
                yield _region(text, number)
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}.") from error
            found = True
    if not found:
        raise ValueError(f"{path}: there is no region in it.")


def _region(line: str, number: int) -> Region:
    columns = line.split("\t") if "\t" in line else line.split()
    if len(columns) < 3:
        raise ValueError("a region has at least three columns, contig, start and end, separated by tabs")
    contig = columns[0]
    try:
        start, end = int(columns[1]), int(columns[2])
    except ValueError as error:
        raise ValueError(
            f"start and end must be whole numbers, got {printable(' and '.join(columns[1:3]))}"
        ) from error
    if start >= end:
        raise ValueError(f"start {start} is not before end {end}: places count from 0, and end is not part of it")
    name = columns[3] if len(columns) > 3 and columns[3] not in ("", ".") else f"{contig}:{start + 1}-{end}"
    strand = columns[5] if len(columns) > 5 else "."
    if strand not in STRANDS:
        raise ValueError(f"the strand must be +, - or ., got {printable(strand)!r}")
    return Region(contig, start, end, name, STRANDS[strand], strand != ".", number)


__all__ = ["Region", "read_bed"]
