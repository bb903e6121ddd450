"""Signals along a genome: bigWig files, read and written, and tables that name them as tracks."""

import csv
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from textgenome.genome.intervals import Interval, bare_contig, match_contigs, printable


try:
    import pyBigWig
except ImportError:
    pyBigWig = None

UNCOVERED = ("zero", "nan")
COLUMNS = ("name", "path", "group", "strand")
# How names of the two strands of one experiment end.
_STRAND = re.compile(r"[._-]?(plus|minus|forward|reverse|fwd|rev|\+|-)$", re.IGNORECASE)


class Track(NamedTuple):
    """A signal: a name, its bigWig file, a group of like signals (an assay), and its strand: `+`, `-` or `.`."""

    name: str
    path: str
    group: str
    strand: str


class BigWig:
    """An open bigWig file to read windows from.

    Args:
        path: The file.
        uncovered: What bases are that the file has no value for: `zero`, or `nan` for unknown.

    Raises:
        OSError: If pyBigWig is missing, or the file is not there or is not a bigWig file.
    """

    def __init__(self, path: str | Path, uncovered: str = "zero"):
        self.path, self.uncovered = str(path), uncovered
        self._file = _open(self.path)
        self.contigs: dict[str, int] = self._file.chroms()
        self._spellings = match_contigs(tuple(self.contigs))

    def read(self, contig: str, start: int, end: int) -> np.ndarray:
        """The signal of each base of a window, 0-based and half-open, as `(end - start,)`, float32.

        Raises:
            ValueError: If the file has no such contig or the window goes over its ends.
        """
        name = self.find_contig(contig)
        if not 0 <= start < end <= self.contigs[name]:
            place = f"{printable(contig)}:{start + 1}-{end}"
            raise ValueError(f"{self.path}: {place} goes over the ends of the contig, of {self.contigs[name]} bases.")
        values = self._file.values(name, start, end, numpy=True)
        return values if self.uncovered == "nan" else np.nan_to_num(values, copy=False)

    def find_contig(self, contig: str) -> str:
        """The name that this file has for a contig: `chr1` and `1` are the same.

        Raises:
            ValueError: If it has none.
        """
        found = self._spellings.get(contig) or self._spellings.get(bare_contig(contig))
        if found is None:
            known = ", ".join(map(printable, [*self.contigs][:3]))
            raise ValueError(f"{self.path}: there is no contig {printable(contig)}; the file has {known} ...")
        return found

    def close(self) -> None:
        self._file.close()


def _open(path: str) -> "pyBigWig.pyBigWig":
    if pyBigWig is None:
        raise OSError("Reading and writing bigWig files needs pyBigWig: pip install 'textgenome[genome]'.")
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path}: there is no such file.")
    with open(path, "rb") as file:
        magic = file.read(4)
    # Checked here, since the library prints to the terminal about files that are something else.
    if magic not in (b"\x26\xfc\x8f\x88", b"\x88\x8f\xfc\x26"):
        raise OSError(f"{path}: it is not a bigWig file.")
    try:
        return pyBigWig.open(path)
    except RuntimeError as error:
        raise OSError(f"{path}: it cannot be read as a bigWig file: it may be cut off.") from error


class BigWigWriter:
    """Writes a bigWig file. It appears under its name when it is closed without an error.

    Args:
        path: The file.
        sizes: The length of each contig, in the order of the genome.
        step: How many bases each value covers.
    """

    def __init__(self, path: str | Path, sizes: Mapping[str, int], step: int = 1):
        if pyBigWig is None:
            raise OSError("Reading and writing bigWig files needs pyBigWig: pip install 'textgenome[genome]'.")
        self.path, self.sizes, self.step = str(path), dict(sizes), step
        self._unfinished = f"{self.path}.{os.getpid()}"
        self._order = {name: number for number, name in enumerate(self.sizes)}
        self._last = Interval("", 0, 0)
        self._file = pyBigWig.open(self._unfinished, "w")
        self._file.addHeader(list(self.sizes.items()))

    def write(self, contig: str, start: int, values: np.ndarray, end: int | None = None) -> None:
        """Add values from the base `start` on, each of `step` bases, the last one perhaps of fewer.

        What is NaN stays uncovered.

        Args:
            contig: Its name in `sizes`.
            start: The first base, counted from 0.
            values: `(bins,)`.
            end: Where the last value ends, by default after `step` bases or with the contig.

        Raises:
            ValueError: If the place is before the end of what was written last, or not on the contig.
        """
        values = np.ascontiguousarray(values, dtype=np.float32)
        end = min(start + len(values) * self.step, self.sizes.get(contig, 0) if end is None else end)
        if start < 0 or len(values) != -(-(end - start) // self.step):
            raise ValueError(f"{self.path}: {len(values)} values from {printable(contig)}:{start + 1} on do not fit.")
        last = self._last
        place = self._order[contig], start
        if last.contig and place < (self._order[last.contig], last.end):
            raise ValueError(
                f"{self.path}: {printable(contig)}:{start + 1} was given after {printable(last.contig)}:{last.end}: "
                "give places in the order of the genome, without overlap."
            )
        known = np.flatnonzero(np.diff(np.isnan(values), prepend=True, append=True))
        for first, after in known.reshape(-1, 2):
            self._add(contig, start + int(first) * self.step, values[first:after], end)
        self._last = Interval(contig, start, end)

    def _add(self, contig: str, start: int, values: np.ndarray, end: int) -> None:
        whole = min(len(values), (end - start) // self.step)
        if whole:
            self._file.addEntries(contig, start, values=values[:whole], span=self.step, step=self.step)
        if whole < len(values):
            self._file.addEntries([contig], [start + whole * self.step], ends=[end], values=[float(values[-1])])

    def close(self) -> None:
        self._file.close()
        os.replace(self._unfinished, self.path)

    def __enter__(self) -> "BigWigWriter":
        return self

    def __exit__(self, kind, error, trace) -> None:
        if kind is None:
            self.close()
        else:
            self._file.close()
            Path(self._unfinished).unlink(missing_ok=True)


def read_tracks(path: str | Path) -> list[Track]:
    """The tracks of a table with tabs between the columns `name`, `path`, `group` and `strand`.

    Paths are relative to the folder of the table. Further columns are not read.

    Raises:
        OSError: If the table or one of its files is not there.
        ValueError: If a column or a value is missing, a name is there twice, or a strand is not `+`, `-` or `.`. The
            message names the line.
    """
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or [])]
        if missing:
            raise ValueError(f"{path}, line 1: the columns {', '.join(missing)} are missing; tabs divide columns.")
        tracks: dict[str, Track] = {}
        for row in reader:
            where = f"{path}, line {reader.line_num}"
            empty = [name for name in COLUMNS if not row[name]]
            if empty:
                raise ValueError(f"{where}: {', '.join(empty)} is empty.")
            if row["strand"] not in ("+", "-", "."):
                raise ValueError(f"{where}: the strand is {printable(row['strand'])!r}, but must be +, - or a dot.")
            if row["name"] in tracks:
                raise ValueError(f"{where}: there is a track {printable(row['name'])} already.")
            found = Path(path).parent / row["path"]
            if not found.is_file():
                raise FileNotFoundError(f"{where}: file {found} does not exist.")
            tracks[row["name"]] = Track(row["name"], str(found), row["group"], row["strand"])
    if not tracks:
        raise ValueError(f"{path}: there are no tracks in it.")
    return list(tracks.values())


def pair_strands(tracks: Sequence[Track]) -> list[int]:
    """For each track the number of the one that takes its place on the reverse complement; itself without a strand.

    The two strands of a pair are in one group, and their names differ in the ending only: `plus` and `minus`, `fwd`
    and `rev`, `forward` and `reverse`, or `+` and `-`.

    Raises:
        ValueError: If a track with a strand has no partner, or several.
    """
    places = {}
    for number, track in enumerate(tracks):
        if track.strand != ".":
            places.setdefault((track.group, _STRAND.sub("", track.name)), []).append(number)
    partners = list(range(len(tracks)))
    for numbers in places.values():
        if sorted(tracks[number].strand for number in numbers) != ["+", "-"]:
            names = ", ".join(f"{tracks[number].name} ({tracks[number].strand})" for number in numbers)
            raise ValueError(
                f"Strands do not pair up: {printable(names)}. Each track with a strand needs one of the other strand "
                "in its group, with a name that differs in its ending only, as x.plus and x.minus; else its strand is "
                "a dot."
            )
        first, second = numbers
        partners[first], partners[second] = second, first
    return partners


__all__ = ["BigWig", "BigWigWriter", "Track", "pair_strands", "read_tracks"]
