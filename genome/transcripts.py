"""Transcripts: exons, coding parts and their phases, and writing them as GFF3."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote


_COMPLEMENT = str.maketrans("ACGTNacgtn", "TGCANtgcan")
# Of GFF3 1.26: what must be escaped in a column, and what more in an attribute.
_SAFE_IN_COLUMN = " !\"#$'()*+,/:;<=?@[\\]^`{|}~&"
_SAFE_IN_ATTRIBUTE = " !\"#$'()*+/:<?@[\\]^`{|}~"


class Transcript(NamedTuple):
    """A transcript. Its parts are sorted along the contig, whatever its strand.

    Args:
        name: Unlike those of all others in its file.
        gene: Name of its gene.
        contig: Where it is.
        strand: `+`, `-` or `.`.
        exons: Start (counted from 0) and end (the base after the last one) of each.
        cds: The same of its coding parts, with the stop codon. Empty if it codes for nothing.
        phase: How many bases come before the first whole codon, as in the column of GFF3.
        score: A number for the column of GFF3, or None.
    """

    name: str
    gene: str
    contig: str
    strand: str
    exons: tuple[tuple[int, int], ...]
    cds: tuple[tuple[int, int], ...] = ()
    phase: int = 0
    score: float | None = None

    @property
    def start(self) -> int:
        return min(start for start, _ in self.exons or self.cds)

    @property
    def end(self) -> int:
        return max(end for _, end in self.exons or self.cds)

    def phases(self) -> list[int]:
        """The phase of each part of `cds`, in their order."""
        return phases_of(self.cds, self.strand, self.phase)


def phases_of(cds: Iterable[tuple[int, int]], strand: str, phase: int = 0) -> list[int]:
    """The phase of each coding part, sorted along the contig; `phase` is that of the first one that is read."""
    found = []
    for start, end in reversed(cds) if strand == "-" else cds:
        found.append(phase)
        phase = next_phase(phase, end - start)
    return found[::-1] if strand == "-" else found


def next_phase(phase: int, length: int) -> int:
    """The phase of the coding part that follows one of so many bases."""
    return (phase - length) % 3


def reverse_complement(sequence: str) -> str:
    """Bases that are not A, C, G, T or N stay what they are."""
    return sequence.translate(_COMPLEMENT)[::-1]


def write_gff3(
    path: str | Path, transcripts: Iterable[Transcript], lengths: Mapping[str, int], source: str = "textgenome"
) -> None:
    """Write genes with their transcripts, exons and coding parts as GFF3 1.26, in the order given.

    The transcripts of a gene follow each other. Positions count from 1; each coding part has its phase.

    Args:
        path: The file, which appears when all is written.
        transcripts: Read one gene at a time, so that there may be more than memory holds.
        lengths: Bases of each contig, for the lines `##sequence-region`.
        source: For the second column.

    Raises:
        ValueError: If a transcript is on no contig, or a part of it is outside its contig, or nothing.
        OSError: If the file cannot be written.
    """
    unfinished = f"{path}.unfinished"
    try:
        with open(unfinished, "w", encoding="utf-8") as file:
            file.write("##gff-version 3\n")
            for contig, length in lengths.items():
                file.write(f"##sequence-region {_column(contig)} 1 {length}\n")
            gene = []
            for transcript in transcripts:
                _check(transcript, lengths)
                if gene and (gene[-1].gene, gene[-1].contig) != (transcript.gene, transcript.contig):
                    file.writelines(_gene_lines(gene, source))
                    gene = []
                gene.append(transcript)
            file.writelines(_gene_lines(gene, source))
        os.replace(unfinished, path)
    finally:
        Path(unfinished).unlink(missing_ok=True)


def _check(transcript: Transcript, lengths: Mapping[str, int]) -> None:
    length = lengths.get(transcript.contig)
    if length is None:
        raise ValueError(f"The transcript {transcript.name} is on the contig {transcript.contig}, which is unknown.")
    for start, end in (*transcript.exons, *transcript.cds):
        if not 0 <= start < end <= length:
            raise ValueError(
                f"The transcript {transcript.name} has a part {start + 1}-{end}, but its contig "
                f"{transcript.contig} has {length} bases."
            )


def _gene_lines(gene: list[Transcript], source: str) -> Iterable[str]:
    if not gene:
        return
    first = gene[0]
    start, end = min(each.start for each in gene), max(each.end for each in gene)
    names = _attributes(ID=f"gene:{first.gene}", Name=first.gene)
    yield _line(first, source, "gene", start, end, attributes=names)
    for each in gene:
        kind = "mRNA" if each.cds else "transcript"
        parent = f"transcript:{each.name}"
        names = _attributes(ID=parent, Parent=f"gene:{each.gene}", Name=each.name)
        yield _line(each, source, kind, each.start, each.end, score=each.score, attributes=names)
        for start, end in each.exons:
            yield _line(each, source, "exon", start, end, attributes=_attributes(Parent=parent))
        for (start, end), phase in zip(each.cds, each.phases()):
            names = _attributes(ID=f"cds:{each.name}", Parent=parent)
            yield _line(each, source, "CDS", start, end, phase=str(phase), attributes=names)


def _line(
    transcript: Transcript,
    source: str,
    kind: str,
    start: int,
    end: int,
    *,
    score: float | None = None,
    phase: str = ".",
    attributes: str,
) -> str:
    score = "." if score is None else f"{score:.4g}"
    columns = [_column(transcript.contig), _column(source), kind, str(start + 1), str(end), score, transcript.strand]
    return "\t".join([*columns, phase, attributes]) + "\n"


def _column(text: str) -> str:
    escaped = quote(text, safe=_SAFE_IN_COLUMN)
    return f"%3E{escaped[1:]}" if escaped.startswith(">") else escaped


def _attributes(**values: str) -> str:
    return ";".join(f"{key}={quote(value, safe=_SAFE_IN_ATTRIBUTE)}" for key, value in values.items())


__all__ = ["Transcript", "next_phase", "phases_of", "reverse_complement", "write_gff3"]
