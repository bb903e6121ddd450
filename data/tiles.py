"""Rows of sequences as tiles that an encoder reads whole, numbered, so that work on them can be shared and go on."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from textgenome.data.sequences import GenomeSequence, SequenceRow, Tiling
from textgenome.genome.intervals import Interval
from textgenome.genome.progress import Progress


CHUNK_TILES = 8192


class Unit(NamedTuple):
    """A sequence that is worked on; of a pair there are two, told apart by their `allele`. `row` is its number."""

    row: int
    name: str
    allele: str | None
    sequence: str | GenomeSequence
    place: Interval | None
    strand: str

    @property
    def columns(self) -> dict:
        """What a table says of it, by the names of the columns; None where it has no place on a genome."""
        contig, start, end = self.place or (None, None, None)
        places = {"contig": contig, "start": start, "end": end, "strand": self.strand if self.place else None}
        return {"row": self.row, "name": self.name, "allele": self.allele, **places}


class Tile(NamedTuple):
    """A stretch of a unit that is encoded at once, from its base `start` to before `end`."""

    unit: Unit
    start: int
    end: int

    @property
    def letters(self) -> str:
        return self.unit.sequence[self.start : self.end]


class Survey(NamedTuple):
    """How many units there are, how many bases they have, and a fingerprint of all of them."""

    units: int
    bases: int
    fingerprint: str


@dataclass(frozen=True)
class Work:
    """Tiles in their order, the same whenever they are read.

    Args:
        read: Gives the rows from their start.
        tiling: Cuts sequences into tiles.
        first: The first unit.
        last: The one after the last unit.
        chunk_bases: Bases of the tiles of a chunk: it ends with the tile that makes it as large, or with the last of
            `CHUNK_TILES` of them.
    """

    read: Callable[[], Iterable[SequenceRow]]
    tiling: Tiling
    first: int
    last: int
    chunk_bases: int

    def chunks(self) -> Iterator[list[Tile]]:
        chunk, bases = [], 0
        for unit in islice(units_of(self.read()), self.first, self.last):
            for start, end in self.tiling(unit.sequence):
                chunk.append(Tile(unit, start, end))
                bases += end - start
                if bases >= self.chunk_bases or len(chunk) == CHUNK_TILES:
                    yield chunk
                    chunk, bases = [], 0
        if chunk:
            yield chunk


def units_of(rows: Iterable[SequenceRow]) -> Iterator[Unit]:
    """Each sequence of the rows, numbered from 0."""
    number = 0
    for row in rows:
        alleles = {None: row.sequence} if row.variant is None else {"reference": row.sequence, "variant": row.variant}
        for allele, sequence in alleles.items():
            yield Unit(number, row.name, allele, sequence, row.place, row.strand)
            number += 1


def survey(rows: Iterable[SequenceRow]) -> Survey:
    """Go through rows once, which checks all of them, without reading the letters of a genome."""
    number = bases = 0
    digest = hashlib.sha256()
    for unit in Progress(units_of(rows), desc="Checking sequences", unit="row"):
        number += 1
        bases += len(unit.sequence)
        letters = unit.sequence if isinstance(unit.sequence, str) else ""
        digest.update(f"{unit.columns} {len(unit.sequence)} {letters}\n".encode("utf-8", "surrogateescape"))
    if not number:
        raise ValueError("The input holds no sequence.")
    return Survey(number, bases, digest.hexdigest())


def share_of(number: int, shard: tuple[int, int]) -> tuple[int, int]:
    """The first of the i-th of n shares of about the same size, and the one after its last: `shard` is `(i, n)`.

    Raises:
        ValueError: If there is no such share, or nothing in it.
    """
    i, n = shard
    if not 1 <= i <= n <= number:
        raise ValueError(f"There is no share {i} of {n} of {number} sequences: name one from 1 to {min(n, number)}.")
    return (i - 1) * number // n, i * number // n


__all__ = ["Survey", "Tile", "Unit", "Work", "share_of", "survey", "units_of"]
