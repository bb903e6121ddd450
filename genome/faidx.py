"""Indexes of FASTA files (.fai and, for files compressed by bgzip, .gzi): whether one fits, and writing one."""

import logging
import os
import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

from textgenome.genome.bgzf import BgzipBytes, PlainBytes, is_bgzip, open_bytes
from textgenome.genome.intervals import printable
from textgenome.genome.progress import Progress


logger = logging.getLogger(__name__)

_MISSING = "its index is missing"
_LONGEST_HEADER = 1 << 20
_BLOCK = 1 << 20
_WHITESPACE = b" \t\n\r\v\f"
_CR = "lines end with a carriage return alone, as on old computers: end them with a line feed"
_MARKS = {b"\xef\xbb\xbf": "a byte order mark", b"\xff\xfe": "the mark of UTF-16", b"\xfe\xff": "the mark of UTF-16"}


class Contig(NamedTuple):
    """A line of a .fai file: where the bases of a contig are; a line of them takes `width` bytes."""

    name: str
    length: int
    offset: int
    bases: int
    width: int

    @property
    def end(self) -> int:
        """The byte after its last base."""
        lines, rest = divmod(self.length - 1, self.bases)
        return self.offset + lines * self.width + rest + 1


def ensure_index(path: str | Path) -> None:
    """See to it that a FASTA file has an index that fits. One that is missing, older or of another file is written
    anew, and that is logged.

    Raises:
        OSError: If the file cannot be read, or the index not be written.
        ValueError: If the file is not a FASTA file that can be indexed; the message names the line.
    """
    with open(path, "rb", buffering=0) as file:
        compressed = is_bgzip(path, PlainBytes(file).read(0, 18))
        content = BgzipBytes(path, file) if compressed else PlainBytes(file)
        useless = _why_useless(path, content)
    if useless is None:
        return
    with open_bytes(path) as file:
        contigs = scan_contigs(path, file)
    indexes = {f"{path}.fai": "".join("\t".join(map(str, contig)) + "\n" for contig in contigs).encode()}
    if compressed:
        numbers = [number for block in content.index for number in block]
        indexes[f"{path}.gzi"] = struct.pack(f"<Q{len(numbers)}Q", len(numbers) // 2, *numbers)
    try:
        for index, written in indexes.items():
            _write(index, written)
    except OSError as error:
        if all(os.path.isfile(index) and Path(index).read_bytes() == written for index, written in indexes.items()):
            logger.warning(f"{path}: {useless}, but fits.")
            return
        raise OSError(
            f"{path}: {useless}, and a new one cannot be written ({error.strerror}). Copy the genome to a folder of "
            "your own, or write one by `samtools faidx`."
        ) from error
    if useless != _MISSING:
        logger.warning(f"{path}: {useless}. A new one was written.")


def scan_contigs(path: str | Path, file: BinaryIO) -> list[Contig]:
    """Where the contigs of an open FASTA file are, as `samtools faidx` finds them, but strict about names.

    Raises:
        ValueError: If places in it cannot be computed, or names are missing or there twice; the message names the
            line.
    """
    scans, line_of, number, offset = [], {}, 0, 0
    with Progress(desc="Indexing the genome", unit="line") as progress:
        while lines := file.readlines(_BLOCK):
            progress.update(len(lines))
            if scans and scans[-1].goes_on_with(
                lines
            ):  # as nearly all lines of a genome: this takes a tenth of the time
                scans[-1].length += len(lines) * scans[-1].bases
                number, offset = number + len(lines), offset + len(lines) * scans[-1].width
                continue
            for line in lines:
                number, offset = number + 1, offset + len(line)
                try:
                    _read_line(line, number, offset, scans, line_of)
                except ValueError as error:
                    raise ValueError(f"{path}, line {number}: {error}.") from error
    if not scans:
        raise ValueError(f"{path}: the file is empty.")
    for scan in scans:
        if not scan.length:
            raise ValueError(f"{path}, line {line_of[scan.name]}: the contig {printable(scan.name)} has no bases.")
    return [Contig(scan.name, scan.length, scan.offset, scan.bases, scan.width) for scan in scans]


def _read_line(line: bytes, number: int, offset: int, scans: list["_Scan"], line_of: dict[str, int]) -> None:
    if number == 1:
        check_start(line)
    if line.startswith(b">"):
        name = contig_name(line)
        if name in line_of:
            raise ValueError(f"the contig {printable(name)} is there already, on line {line_of[name]}")
        line_of[name] = number
        scans.append(_Scan(name, offset))
    elif scans:
        scans[-1].add(line, number)
    elif line.strip():
        raise ValueError("a FASTA file starts with `>` and the name of a contig")


class _Scan:
    """What is known of a contig while its lines are read."""

    def __init__(self, name: str, offset: int):
        self.name, self.offset = name, offset
        self.length = self.bases = self.width = self.blank = self.last = 0

    def goes_on_with(self, lines: list[bytes]) -> bool:
        """Whether all these lines are like those of this contig before them."""
        if not self.bases or self.blank or self.last or set(map(len, lines)) != {self.width}:
            return False
        joined = b"".join(lines)
        return b">" not in joined and len(joined.translate(None, _WHITESPACE)) == len(lines) * self.bases

    def add(self, line: bytes, number: int) -> None:
        words = line.split()
        if not words:
            self.blank = self.blank or number
            return
        bases = len(words[0])
        if len(words) > 1 or line.rstrip(b"\r\n") != words[0]:
            raise ValueError(_CR if b"\r" in line.rstrip(b"\r\n") else "it has spaces between or around its bases")
        if self.blank:
            raise ValueError(f"bases of the contig {printable(self.name)} follow on line {self.blank}, which is blank")
        if self.last:
            raise ValueError(
                f"line {self.last} is shorter than those before it, or ends in another way: only the last line of a "
                "contig may be so"
            )
        if not self.bases:
            self.bases, self.width = bases, len(line)
        elif len(line) != self.width or bases != self.bases:
            if bases > self.bases:
                raise ValueError(f"it has {bases} bases, but the lines of its contig before it have {self.bases}")
            self.last = number
        self.length += bases


def check_start(line: bytes) -> None:
    """Raise `ValueError` if the first line of a FASTA file starts with the mark of an encoding."""
    for mark, name in _MARKS.items():
        if line.startswith(mark):
            raise ValueError(f"the file starts with {name}, which is not part of FASTA: save it as plain ASCII text")


def contig_name(header: bytes) -> str:
    """The name in the line of a FASTA file that starts with `>`; raises `ValueError` where it has none."""
    if b"\r" in header.rstrip(b"\r\n"):
        raise ValueError(_CR)
    if header[1:2].isspace() or not header[1:]:
        raise ValueError("the contig has no name")
    try:
        return header[1:].split()[0].decode()
    except UnicodeDecodeError as error:
        raise ValueError("the name of the contig is not text in UTF-8") from error


def _why_useless(path: str | Path, content: PlainBytes | BgzipBytes) -> str | None:
    """What is wrong with the index of a file, if anything is."""
    compressed, changed = isinstance(content, BgzipBytes), os.stat(path).st_mtime_ns
    for suffix in (".fai", ".gzi") if compressed else (".fai",):
        index = f"{path}{suffix}"
        if not os.path.isfile(index):
            return _MISSING
        if os.stat(index).st_mtime_ns < changed:
            return f"its index ({suffix}) is older than the file"
    try:
        lines = Path(f"{path}.fai").read_text(encoding="utf-8").split("\n")
        columns = [line.split("\t") for line in lines if line]
        contigs = [Contig(each[0], *map(int, each[1:5])) for each in columns]
        if not _fits(contigs, content):
            return "its index (.fai) is that of another file"
        if compressed and not _blocks_fit(Path(f"{path}.gzi").read_bytes(), content):
            return "its index (.gzi) is that of another file"
    except (ValueError, TypeError, struct.error):
        return "its index cannot be understood"
    return None


def _fits(contigs: list[Contig], content: PlainBytes | BgzipBytes) -> bool:
    """Whether between the contigs of an index there are the lines with their names, and nothing else."""
    end = 0
    for contig in sorted(contigs, key=lambda contig: contig.offset):
        gap = contig.offset - end
        if not (0 < gap <= _LONGEST_HEADER and contig.length > 0 and 0 < contig.bases <= contig.width):
            return False
        header = content.read(end, gap).lstrip()
        name = b">" + contig.name.encode()
        if not header.startswith(name) or header.find(b"\n") != len(header) - 1 or header[len(name)] not in b" \t\r\n":
            return False
        # Where its first line ends, if it has more than one.
        ending = content.read(contig.offset + contig.bases - 1, contig.width - contig.bases + 1)
        if contig.length > contig.bases and (ending[:1].isspace() or ending[1:] not in (b"\n", b"\r\n")):
            return False
        end = contig.end
    rest = content.size - end
    return bool(contigs) and 0 <= rest <= _LONGEST_HEADER and not content.read(end, rest).strip()


def _blocks_fit(index: bytes, content: BgzipBytes) -> bool:
    numbers = struct.unpack(f"<Q{(len(index) - 8) // 8}Q", index)
    named = set(zip(numbers[1::2], numbers[2::2]))
    return len(numbers) == 1 + 2 * numbers[0] and {*content.index} <= named <= {*content.blocks}


def _write(path: str, content: bytes) -> None:
    unfinished = Path(f"{path}.{os.getpid()}")
    try:
        unfinished.write_bytes(content)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


__all__ = ["Contig", "check_start", "contig_name", "ensure_index", "scan_contigs"]
