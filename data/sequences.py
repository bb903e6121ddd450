"""Sequences to rows, one after the other: of a table, of FASTA records, of regions of a genome, of variants."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from transformers import PreTrainedTokenizerBase
from transformers.utils import logging

from textgenome.data.conversations import DNA_COLUMNS, BadRow
from textgenome.data.forms import TableForm
from textgenome.data.rows import ROWS_SHOWN, load_rows
from textgenome.data.variants import read_variants
from textgenome.genome.bed import Region, read_bed
from textgenome.genome.fasta import fetch, open_fasta, read_records
from textgenome.genome.intervals import Interval, bare_contig, match_contigs, printable
from textgenome.processing.processing_dna import (
    DNA_WINDOW,
    has_several_bases,
    longest_token,
    normalize_dna,
    variant_window,
)


logger = logging.get_logger(__name__)

# How much is read at once by an encoder whose configuration names no limit: as much as any of the known ones reads
# on one GPU.
LONGEST_TILE = 131_072
_COMPLEMENT = str.maketrans("ACGT", "TGCA")


def reverse_complement(sequence: str) -> str:
    """The other strand of a sequence in the letters A, C, G, T and N."""
    return sequence.translate(_COMPLEMENT)[::-1]


class GenomeSequence:
    """A stretch of a genome on one of its strands, read where it is sliced: `len(stretch)`, `stretch[start:end]`.

    Slices are in the letters A, C, G, T and N, and N where the stretch reaches over an end of its contig.

    Args:
        genome: Open genome, see `open_fasta`.
        place: On its contig, which may reach over the ends.
        strand: `-` for the reverse complement.
    """

    def __init__(self, genome, place: Interval, strand: str = "+"):
        self.genome, self.place, self.strand = genome, place, strand

    def __len__(self) -> int:
        return self.place.end - self.place.start

    def __getitem__(self, places: slice) -> str:
        start, end, _ = places.indices(len(self))
        if start >= end:
            return ""
        if self.strand == "-":
            start, end = len(self) - end, len(self) - start
        letters = self._letters(self.place.start + start, self.place.start + end)
        return letters if self.strand == "+" else reverse_complement(letters)

    def _letters(self, start: int, end: int) -> str:
        contig = self.place.contig
        length = self.genome.get_reference_length(contig)
        first, last = max(start, 0), min(end, length)
        if first >= last:
            return "N" * (end - start)
        bases = fetch(self.genome, contig, first, last)
        try:
            bases = normalize_dna(bases)
        except ValueError as error:
            place = f"{self.genome.filename.decode()}: {printable(contig)}:{first + 1}-{last}"
            raise ValueError(f"{place}: {error}") from error
        return "N" * (first - start) + bases + "N" * (end - last)


@dataclass(frozen=True)
class SequenceRow:
    """A sequence, or the pair of a reference and its variant, and where it comes from.

    Args:
        name: Of the FASTA record, of the region, of the variant (`contig:position:REF:ALT`) or, of a table, what its
            column `name` says or else the number of the row, from 0.
        sequence: In the letters A, C, G, T and N, or what gives them when sliced; of a pair the reference.
        variant: Of a pair the variant.
        place: Of the sequence; of a variant that of REF; None for rows of a table.
        strand: On which the sequence is read.
        columns: All columns of the row of a table.
    """

    name: str
    sequence: str | GenomeSequence
    variant: str | None = None
    place: Interval | None = None
    strand: str = "+"
    columns: Mapping = field(default_factory=dict)


def read_sequences(
    dataset_name: str | None = None,
    split: str = "train",
    fasta: str | Path | None = None,
    bed: str | Path | None = None,
    vcf: str | Path | None = None,
    window: int = DNA_WINDOW,
    on_bad_row: str = "raise",
    form: TableForm | None = None,
) -> Iterator[SequenceRow]:
    """The sequences of a table, of a FASTA file, of the regions of a BED file, or of the variants of a VCF file.

    Args:
        dataset_name: A table with the column `sequence`, or `reference_sequence` and `variant_sequence`, see
            `load_rows`.
        split: Of the table.
        fasta: A FASTA file. Without `bed` and `vcf` each of its records is a row; a long contig is not read whole
            where an index can be had, which is written beside the file if it is missing.
        bed: Regions of that genome, each a row, on the strand of its sixth column. Where a region reaches over an end
            of its contig there is N; how many do is logged.
        vcf: Variants on that genome, each ALT allele a row: a pair of windows, see `read_variants`.
        window: Most bases of the windows of a pair, see `variant_window`.
        on_bad_row: `raise` or `skip` bad rows of a table or alleles.
        form: Which columns of the table to read in place of the usual ones.

    Raises:
        FileNotFoundError: If a file does not exist.
        OSError: If pysam is missing where it is needed, or a file cannot be read.
        ValueError: If no combination of these sources is given, or a source is malformed. The message names the file
            and the line, row or record.
    """
    given = {name for name, source in zip(("table", "fasta", "bed", "vcf"), (dataset_name, fasta, bed, vcf)) if source}
    if given == {"table"}:
        return _rows_of_table(dataset_name, split, window, on_bad_row, form)
    if given == {"fasta"}:
        return _rows_of_fasta(fasta)
    if given == {"fasta", "bed"}:
        return _rows_of_bed(bed, fasta)
    if given == {"fasta", "vcf"}:
        return _rows_of_vcf(vcf, fasta, window, on_bad_row)
    raise ValueError("Give --dataset_name TABLE; or --fasta FASTA, alone or with either --bed or --vcf.")


def check_sequences(row: Mapping, window: int = DNA_WINDOW) -> None:
    """Raise `BadRow` for a row of a table that has neither a sequence nor a pair of them, or one that is not DNA."""
    columns = ("sequence",) if row.get("sequence") is not None else DNA_COLUMNS
    for column in columns:
        value = row.get(column)
        if value is None:
            names = f"`sequence`, or {' and '.join(f'`{name}`' for name in DNA_COLUMNS)}"
            raise BadRow(column, f"the column is missing or has no value: a row needs {names}")
        if not isinstance(value, str):
            raise BadRow(column, f"expected text, got {type(value).__name__}")
        try:
            normalize_dna(value)
        except ValueError as error:
            raise BadRow(column, str(error)) from error
    if len(columns) == 2:
        try:
            variant_window(*(row[column] for column in columns), window)
        except ValueError as error:
            raise BadRow(columns[1], str(error)) from error


def _rows_of_table(
    dataset_name: str, split: str, window: int, on_bad_row: str, form: TableForm | None
) -> Iterator[SequenceRow]:
    for row in load_rows(dataset_name, split, on_bad_row, check_sequences, numbered=True, form=form, window=window):
        name = row.get("name")
        name = str(row["row"] if name is None else name)
        if row.get("sequence") is not None:
            yield SequenceRow(name, normalize_dna(row["sequence"]), columns=row)
        else:
            pair = variant_window(*(row[column] for column in DNA_COLUMNS), window)
            yield SequenceRow(name, *pair, columns=row)


def _rows_of_fasta(fasta: str | Path) -> Iterator[SequenceRow]:
    try:
        genome = open_fasta(fasta)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        logger.warning_once(f"{fasta} is read record by record, each of them whole, since it has no index: {error}")
        yield from _rows_of_records(fasta)
        return
    for name, length in zip(genome.references, genome.lengths):
        place = Interval(name, 0, length)
        yield SequenceRow(name, GenomeSequence(genome, place), place=place)


def _rows_of_records(fasta: str | Path) -> Iterator[SequenceRow]:
    for name, letters in read_records(fasta):
        try:
            sequence = normalize_dna(letters)
        except ValueError as error:
            raise ValueError(f"{fasta}, record {printable(name)}: {error}") from error
        yield SequenceRow(name, sequence, place=Interval(name, 0, len(sequence)))


def _rows_of_bed(bed: str | Path, fasta: str | Path) -> Iterator[SequenceRow]:
    genome = open_fasta(fasta)
    contigs, lengths = match_contigs(genome.references), dict(zip(genome.references, genome.lengths))
    over, filled, respelled = 0, 0, Counter()
    for region in read_bed(bed):
        contig = contigs.get(region.contig) or contigs.get(bare_contig(region.contig))
        _check_region(region, contig, lengths, bed, fasta)
        missing = max(0, -region.start) + max(0, region.end - lengths[contig])
        over, filled = over + bool(missing), filled + missing
        respelled[region.contig, contig] += region.contig != contig
        place = Interval(contig, region.start, region.end)
        yield SequenceRow(region.name, GenomeSequence(genome, place, region.strand), None, place, region.strand)
    for (spelled, contig), number in respelled.items():
        if number:
            logger.warning_once(f"{bed}: {printable(spelled)} is {printable(contig)} of {fasta}.")
    if over:
        logger.warning_once(
            f"{bed}: {over} regions reach over an end of their contig: there are N for {filled} bases."
        )


def _check_region(region: Region, contig: str | None, lengths: Mapping[str, int], bed, fasta) -> None:
    place = f"{bed}, line {region.line}: " + printable(f"{region.contig}:{region.start + 1}-{region.end}")
    if contig is None:
        names = printable(", ".join(list(lengths)[:ROWS_SHOWN]))
        raise ValueError(f"{place}: {fasta} has no such contig; it starts with {names}.")
    if region.start >= lengths[contig] or region.end <= 0:
        raise ValueError(
            f"{place}: no base of it is on the contig, which has {lengths[contig]} in {fasta}. Is that "
            "another assembly?"
        )


def _rows_of_vcf(vcf: str | Path, fasta: str | Path, window: int, on_bad_row: str) -> Iterator[SequenceRow]:
    for row in read_variants(vcf, fasta, window=window, on_bad_row=on_bad_row, dna_window=window):
        contig, position, reference, _ = row["variant"].rsplit(":", 3)
        place = Interval(contig, int(position) - 1, int(position) - 1 + len(reference))
        yield SequenceRow(row["variant"], *(row[column] for column in DNA_COLUMNS), place=place)


class Tiling:
    """How sequences that are longer than an encoder reads are cut into tiles, which it does.

    Args:
        dna_tokenizer: Of the encoder; its `model_max_length` is how many tokens that reads.
        unit: Bases that a state of the encoder covers: tiles start at whole states, and at whole tokens.
        most: Most bases of a tile. By default what the encoder reads, or `LONGEST_TILE` if it reads without limit.

    Attributes:
        most: Most bases of a tile, whole units.

    Raises:
        ValueError: If the encoder reads less than a unit, or less than `most`.
    """

    def __init__(self, dna_tokenizer: PreTrainedTokenizerBase, unit: int = 1, most: int | None = None):
        self.dna_tokenizer = dna_tokenizer
        self.several = longest_token(dna_tokenizer) if has_several_bases(dna_tokenizer) else 1
        self.unit = math.lcm(unit, self.several)
        self.tokens = dna_tokenizer.model_max_length - len(dna_tokenizer("")["input_ids"])
        reads = self.tokens * self.several if self.tokens < 2**32 else max(most or 0, LONGEST_TILE)
        if most is not None and not self.unit <= most <= reads:
            raise ValueError(f"A tile of {most} bases: the encoder reads {self.unit} to {reads} of them at once.")
        self.most = min(reads, most or reads) // self.unit * self.unit
        if not self.most:
            raise ValueError(f"The encoder reads {reads} bases, less than one of its states covers ({self.unit}).")

    def __call__(self, sequence: str | GenomeSequence) -> Iterator[tuple[int, int]]:
        """Start and end of each tile of a sequence: one if the encoder reads all of it, else several of about the same
        length, without gap or overlap."""
        count = -(-len(sequence) // self.most)
        size = -(-len(sequence) // (count * self.unit)) * self.unit
        for start in range(0, len(sequence), size):
            yield from self._fitting(sequence, start, min(start + size, len(sequence)))

    def _fitting(self, sequence: str | GenomeSequence, start: int, end: int) -> Iterator[tuple[int, int]]:
        if self.several > 1 and end - start > self.unit and not self.fits(sequence[start:end]):
            middle = start + max(1, (end - start) // (2 * self.unit)) * self.unit
            yield from self._fitting(sequence, start, middle)
            yield from self._fitting(sequence, middle, end)
        else:
            yield start, end

    def fits(self, letters: str) -> bool:
        """Whether the encoder reads all tokens: bases around an N, and those left over, are tokens of their own."""
        if "N" not in letters and len(letters) // self.several + len(letters) % self.several <= self.tokens:
            return True
        ids = self.dna_tokenizer(letters, add_special_tokens=False, verbose=False)["input_ids"]
        return len(ids) <= self.tokens


__all__ = [
    "GenomeSequence",
    "SequenceRow",
    "Tiling",
    "check_sequences",
    "read_sequences",
    "reverse_complement",
]
