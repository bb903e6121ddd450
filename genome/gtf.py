"""Reading annotation: GTF, GFF3 and BED, plain or compressed, and what of it covers each base of an interval."""

import gzip
import logging
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import numpy as np

from textgenome.genome.bed import read_bed
from textgenome.genome.intervals import bare_contig, match_contigs, printable
from textgenome.genome.transcripts import Transcript, next_phase


logger = logging.getLogger(__name__)

_GTF_ATTRIBUTE = re.compile(r'(gene_id|transcript_id)\s+(?:"([^"]*)"|([^;\s]+))')
_SLIPPAGE = "ribosomal slippage"  # NCBI's word for a CDS whose frame shifts: its phases cannot fit
_STRANDS = ("+", "-", ".", "?")
_BED_ENDINGS = (".bed", ".bed.gz")
TRANSCRIPT_PARTS = ("exon", "CDS", "stop_codon")


class Feature(NamedTuple):
    """A line of an annotation: `start` counts from 0, `end` is the base after the last one."""

    contig: str
    start: int
    end: int
    strand: str
    type: str
    phase: int | None
    transcripts: tuple[str, ...]
    gene: str | None
    line: int
    slips: bool = False


class Annotation:
    """The features of a GTF, GFF3 or BED file.

    A CDS holds its stop codon, as in GFF3: the lines `stop_codon` of a GTF file, where it has them, are added to it.

    Args:
        path: For messages.
        features: Its features.
        genes: The gene of each transcript, where features do not name it. It may be filled while they are read.

    Raises:
        ValueError: If a CDS is outside its exon, or its phase does not fit; the message gives the line.
    """

    def __init__(self, path: str | Path, features: Iterable[Feature], genes: Mapping[str, str] | None = None):
        self.path, genes = path, {} if genes is None else genes
        self._lines: dict[str, int] = {}
        parts: dict[str, dict[str, list[Feature]]] = {}
        covered: dict[tuple[str, str], list[tuple[int, int, int]]] = {}
        self.types: Counter[str] = Counter()
        for feature in features:
            self.types[feature.type] += 1
            self._lines.setdefault(feature.contig, feature.line)
            place = (feature.start, feature.end, _STRANDS.index(feature.strand))
            covered.setdefault((feature.contig, feature.type), []).append(place)
            if feature.type in TRANSCRIPT_PARTS:
                for name in feature.transcripts:
                    parts.setdefault(name, {}).setdefault(feature.type, []).append(feature)
        self._transcripts: dict[str, list[Transcript]] = {}
        spliced = 0
        for name, kinds in parts.items():
            if len({(part.contig, part.strand) for features in kinds.values() for part in features}) > 1:
                spliced += 1
                continue
            transcript = _build_transcript(path, name, genes.get(name), kinds)
            self._transcripts.setdefault(transcript.contig, []).append(transcript)
        if spliced:
            logger.warning(
                f"{path}: {spliced} transcripts have parts on both strands or on several contigs (trans-splicing): "
                "their features are labels, but they count as no transcripts."
            )
        self._transcripts = {contig: _by_gene(each) for contig, each in self._transcripts.items()}
        if any(contig_type[1] == "stop_codon" for contig_type in covered):
            for contig, transcripts in self._transcripts.items():
                places = [(*part, _STRANDS.index(each.strand)) for each in transcripts for part in each.cds]
                if places:
                    covered[contig, "CDS"] = places
        self._covered = {key: _sorted_places(places) for key, places in covered.items()}

    @property
    def contigs(self) -> list[str]:
        """The contigs with features, as they come in the file."""
        return list(self._lines)

    def transcripts(self, contig: str | None = None) -> list[Transcript]:
        """The transcripts on a contig, or on all of them: genes by their starts, those of a gene together."""
        contigs = self.contigs if contig is None else [contig]
        return [transcript for each in contigs for transcript in self._transcripts.get(each, [])]

    def named_as(self, contigs: Sequence[str]) -> dict[str, str]:
        """The contig of this annotation for each contig of a genome that it has features on.

        Raises:
            ValueError: If features are on a contig that the genome has no sequence of; the message gives the line.
        """
        known, names = match_contigs(tuple(contigs)), {}
        for contig, line in self._lines.items():
            name = known.get(contig, known.get(bare_contig(contig)))
            if name is None:
                raise ValueError(
                    f"{self.path}, line {line}: the contig {printable(contig)} has no sequence in the genome. Leave "
                    "its lines out, or give the genome that was annotated."
                )
            if name in names:
                raise ValueError(
                    f"{self.path}, line {line}: the contigs {printable(names[name])} and {printable(contig)} are both "
                    f"{printable(name)} of the genome. Name it in one way."
                )
            names[name] = contig
        renamed = next(((theirs, ours) for ours, theirs in names.items() if ours != theirs), None)
        if renamed:
            logger.warning(f"{self.path}: its contig {renamed[0]} is {renamed[1]} of the genome, and so are others.")
        return names

    def labels(self, contig: str, start: int, end: int, types: Sequence[str], strand: str | None = None) -> np.ndarray:
        """Which features cover each base of an interval of a contig.

        Args:
            contig: As this annotation names it.
            start: The first base, counted from 0. The interval may reach over the ends of the contig.
            end: The base after the last one.
            types: Types of features.
            strand: `+` or `-` for the features of one strand, and those without a strand; None for all.

        Returns:
            `(end - start, types)`, uint8, 1 where a feature of the type covers the base. In the order of the contig.
        """
        found = np.zeros((end - start, len(types)), np.uint8)
        for column, kind in enumerate(types):
            starts, ends, strands, reach = self._covered.get((contig, kind), _NOTHING)
            first, last = np.searchsorted(reach, start, "right"), np.searchsorted(starts, end, "left")
            for i in range(first, last):
                if ends[i] > start and (strand is None or strands[i] > 1 or _STRANDS[strands[i]] == strand):
                    found[max(starts[i] - start, 0) : ends[i] - start, column] = 1
        return found


def _by_gene(transcripts: list[Transcript]) -> list[Transcript]:
    starts: dict[str, int] = {}
    for each in transcripts:
        starts[each.gene] = min(each.start, starts.get(each.gene, each.start))
    return sorted(transcripts, key=lambda each: (starts[each.gene], each.gene, each.start, each.end, each.name))


_NOTHING = (np.zeros(0, np.int64),) * 4


def _sorted_places(places: list[tuple[int, int, int]]) -> tuple[np.ndarray, ...]:
    """Starts, ends, strands, and how far each place and those before it reach."""
    columns = np.array(sorted(set(places)), np.int64).T
    return (*columns, np.maximum.accumulate(columns[1]))


def _build_transcript(path: str | Path, name: str, gene: str | None, kinds: dict[str, list[Feature]]) -> Transcript:
    first = next(iter(kinds.values()))[0]
    gene = first.gene or gene or name
    cds = sorted(kinds.get("CDS", ()), key=lambda feature: feature.start)
    exons = sorted({(feature.start, feature.end) for feature in kinds.get("exon", ())})
    for feature in cds if exons else ():
        if not any(start <= feature.start and feature.end <= end for start, end in exons):
            raise ValueError(
                f"{path}, line {feature.line}: the CDS {feature.start + 1}-{feature.end} is not inside an exon of "
                f"its transcript {printable(name)}."
            )
    read = cds[::-1] if first.strand == "-" else cds
    phase = expected = (read[0].phase or 0) if read else 0
    for feature in read:
        if feature.phase not in (None, expected) and not feature.slips:
            raise ValueError(
                f"{path}, line {feature.line}: the phase of this CDS of the transcript {printable(name)} is "
                f"{feature.phase}, but {expected} fits to what comes before it."
            )
        expected = next_phase(feature.phase if feature.slips else expected, feature.end - feature.start)
    coding = _with_stop(sorted({(each.start, each.end) for each in cds}), kinds.get("stop_codon", ()))
    return Transcript(name, gene, first.contig, first.strand, tuple(exons or coding), tuple(coding), phase)


def _with_stop(cds: list[tuple[int, int]], stops: Iterable[Feature]) -> list[tuple[int, int]]:
    """Coding parts with the stop codon, which may be cut in two by an intron."""
    for stop in stops if cds else ():
        for i, (start, end) in enumerate(cds):
            if start <= stop.end and stop.start <= end:
                cds[i] = (min(start, stop.start), max(end, stop.end))
                break
        else:
            cds = sorted([*cds, (stop.start, stop.end)])
    return cds


def read_annotation(path: str | Path, types: Iterable[str] | None = None) -> Annotation:
    """Read a GTF, GFF3 or BED file, plain or compressed.

    BED is told by the ending `.bed`, GTF and GFF3 by their attributes. The features of a BED file have its name
    without the ending as their type.

    Args:
        path: The file.
        types: Keep features of these types, and the parts of transcripts. By default all.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If a line is wrong; the message gives its number.
    """
    path, kept = Path(path), None if types is None else {*types, *TRANSCRIPT_PARTS}
    genes: dict[str, str] = {}
    features = read_features(path, genes)
    return Annotation(path, (each for each in features if kept is None or each.type in kept), genes)


def read_features(path: str | Path, genes: dict[str, str] | None = None) -> Iterator[Feature]:
    """The features of a GTF, GFF3 or BED file, line by line.

    Args:
        path: The file.
        genes: Is given the parent of each feature of a GFF3 file that has both: for a transcript, its gene.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If a line is wrong; the message gives its number.
    """
    path, genes = Path(path), {} if genes is None else genes
    if path.name.lower().endswith(_BED_ENDINGS):
        kind = path.name[: path.name.lower().rindex(".bed")]
        for region in read_bed(path):
            strand = region.strand if region.has_strand else "."
            yield Feature(*region.interval, strand, kind, None, (), None, region.line)
        return
    for number, line in enumerate(_lines_of(path), 1):
        if line.startswith("##FASTA"):
            return
        if line.startswith("#") or not line.strip():
            continue
        try:
            yield _read_gtf(line.split("\t"), genes, number)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}.") from error


def _lines_of(path: Path) -> Iterator[str]:
    with open(path, "rb") as file:
        compressed = file.peek(2).startswith(b"\x1f\x8b")
        try:
            for line in gzip.GzipFile(fileobj=file) if compressed else file:
                yield line.rstrip(b"\r\n").decode("utf-8", "surrogateescape")
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{path}: cannot be read: it is damaged or truncated ({error}).") from error


def _read_place(start: str, end: str) -> tuple[int, int]:
    if not (start.isdecimal() and end.isdecimal()):
        raise ValueError(f"its start and end are not numbers: {printable(start)!r} and {printable(end)!r}")
    if int(start) < 1:
        raise ValueError("its start is 0, but positions count from 1")
    if int(start) > int(end):
        raise ValueError(f"its start, {start}, is after its end, {end}")
    return int(start) - 1, int(end)


def _read_gtf(columns: list[str], genes: dict[str, str], number: int) -> Feature:
    if len(columns) != 9:
        raise ValueError(f"a line of GTF or GFF3 has 9 columns with tabs between them, this has {len(columns)}")
    contig, _, kind, start, end, _, strand, phase, attributes = columns
    start, end = _read_place(start, end)
    if strand not in _STRANDS:
        raise ValueError(f"its strand is {printable(strand)!r}, not + or - or .")
    if phase not in ("0", "1", "2", "."):
        raise ValueError(f"its phase is {printable(phase)!r}, not 0, 1, 2 or .")
    named = {key: quoted or bare for key, quoted, bare in _GTF_ATTRIBUTE.findall(attributes)}
    if named:
        names = (named["transcript_id"],) if named.get("transcript_id") else ()
        gene = named.get("gene_id")
    else:
        values = dict(field.strip().partition("=")[::2] for field in attributes.split(";"))
        parents = tuple(unquote(parent) for parent in values.get("Parent", "").split(",") if parent)
        own = unquote(values.get("ID", ""))
        if own and parents and kind not in TRANSCRIPT_PARTS:
            genes[own] = parents[0]
        names, gene, contig, kind = parents or ((own,) if own else ()), None, unquote(contig), unquote(kind)
    slips = _SLIPPAGE in attributes
    return Feature(contig, start, end, strand, kind, None if phase == "." else int(phase), names, gene, number, slips)


__all__ = ["Annotation", "Feature", "read_annotation", "read_features"]
