"""Variant calls to rows: each ALT allele of a VCF file in its window of the genome."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm
from transformers.utils import logging

from textgenome.data.conversations import DNA_COLUMNS, BadRow, row_to_messages
from textgenome.data.rows import ROWS_SHOWN, report_bad_rows
from textgenome.genome.fasta import open_fasta, read_record
from textgenome.genome.intervals import bare_contig, match_contigs
from textgenome.genome.vcf import COLUMNS, kind_without_bases, label_of, open_vcf, read_records, variant_of
from textgenome.processing.processing_dna import DNA_WINDOW, common_prefix, normalize_dna, variant_window


logger = logging.get_logger(__name__)

QUESTION = "What is the effect of this variant?"
LETTERS_SHOWN = 12
_BASES = re.compile(r"[A-Za-z]+")
# VCF 4.3, section 1.6.1: an ambiguity letter of the genome is the first of its bases in REF.
_FIRST_BASE = str.maketrans("RYSWKMBDHV", "ACCAGACAAA")


def read_variants(
    vcf: str | Path,
    fasta: str | Path,
    question: str = QUESTION,
    window: int = DNA_WINDOW,
    labels: str | None = None,
    on_bad_row: str = "raise",
    **conversation_options,
) -> Iterator[dict[str, str]]:
    """Make a row of each ALT allele, on the reference genome, whatever the other alleles and the samples are.

    Symbolic alleles, breakends and spanning deletions are left out, counted and logged. `chr1` and `1` mean the same
    contig, and so do `chrM` and `MT`.

    Args:
        vcf: A VCF file, plain or compressed, or a BCF file; it needs no index.
        fasta: The genome, plain or compressed by bgzip. An index that is missing is written beside it.
        question: To be asked about each variant.
        window: Most bases of either window; see `variant_window`.
        labels: The column `ID`, `QUAL` or `FILTER`, or the key of INFO, that holds the answer; by default none does.
        on_bad_row: `raise` refuses, once all is read, a file with bad alleles; `skip` leaves them out and logs them.
        conversation_options: See `row_to_messages`.

    Yields:
        Rows with `variant` (`contig:position:REF:ALT` as they stand in the VCF), `question`, `reference_sequence`,
        `variant_sequence` and perhaps `answer`.

    Raises:
        OSError: If pysam is missing, or a file cannot be opened.
        ValueError: If a file is of another format, INFO has no such key, or alleles are bad: their contig is not in
            the genome, their REF is not what the genome holds, they have no label. The message names up to ten.
    """
    good, skipped, examples, bad = 0, Counter(), {}, []
    with open_vcf(vcf, drop_samples=True) as records, open_fasta(fasta) as genome:
        if labels is not None and labels not in (*COLUMNS, *records.header.info):
            keys = ", ".join([*COLUMNS, *records.header.info])
            raise ValueError(f"{vcf}: no column or key of INFO is named {labels!r}: choose from {keys}.")
        contigs = match_contigs(genome.references)
        for record in tqdm(read_records(records), desc="Reading variants", unit="record", disable=None):
            for number, allele in enumerate(record.alts or ()):
                place = f"{record.contig}:{record.pos}"
                if not _BASES.fullmatch(allele):
                    kind = kind_without_bases(allele)
                    skipped[kind] += 1
                    examples.setdefault(kind, place)
                    continue
                try:
                    pair = _cut(record, allele, genome, contigs, window)
                    row = {"variant": str(variant_of(record, allele)), "question": question}
                    row |= dict(zip(DNA_COLUMNS, pair))
                    if labels is not None:
                        row["answer"] = _label(record, number, labels)
                    row_to_messages(row, answered=labels is not None, **conversation_options)
                except BadRow as error:
                    bad.append(f"{vcf}, {place}, ALT {number + 1}, column {error.column!r}: {error}")
                    continue
                good += 1
                yield row
    for kind, count in skipped.items():
        logger.warning(f"Left out {count} {kind} of {vcf}, the first at {examples[kind]}.")
    report_bad_rows(bad, good + len(bad), on_bad_row)


def read_sequence(source: str) -> str:
    """A sequence: as it is given, or the only record of a FASTA file.

    Raises:
        ValueError: If it is neither a file nor DNA, or the file holds anything but one record.
    """
    if not os.path.isfile(source):
        try:
            return normalize_dna(source)
        except ValueError as error:
            raise ValueError(f"There is no such FASTA file, and as a sequence: {error}") from error
    record = read_record(source)
    try:
        return normalize_dna(record)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def _label(record, number: int, key: str) -> str:
    try:
        return label_of(record, number, key)
    except ValueError as error:
        raise BadRow(key, str(error)) from error


def _cut(record, allele: str, genome, contigs: dict[str, str], window: int) -> tuple[str, str]:
    contig = contigs.get(record.contig) or contigs.get(bare_contig(record.contig))
    if contig is None:
        names = ", ".join(genome.references[:ROWS_SHOWN])
        raise BadRow("CHROM", f"the genome has no such contig; it starts with {names}")
    start, end, length = record.start, record.start + len(record.ref), genome.get_reference_length(contig)
    if not 0 <= start < end <= length:
        raise BadRow("POS", f"REF is not within the contig {contig}, which has {length} bases")
    left = max(0, start - window)
    before, found = genome.fetch(contig, left, start), genome.fetch(contig, start, end)
    if _fold(found) != _fold(record.ref):
        raise BadRow("REF", f"it is {_shorten(record.ref)}, but the genome has {_shorten(found.upper())} there")
    if record.ref.upper() == allele.upper():
        raise BadRow("ALT", "it is the same as REF")
    reach = 2 * window
    while True:
        after = genome.fetch(contig, end, end + reach)
        # In a repeat the change stands at its right-most place, and needs a flank behind that.
        alike = common_prefix((record.ref + after).upper(), (allele + after).upper())
        if len(after) < reach or alike + window <= reach:
            break
        reach *= 2
    try:
        after = after[: alike + window]
        return variant_window(before + record.ref + after, before + allele + after, window)
    except ValueError as error:
        raise BadRow("ALT", str(error)) from error


def _fold(bases: str) -> str:
    return bases.upper().translate(_FIRST_BASE)


def _shorten(bases: str) -> str:
    return bases if len(bases) <= LETTERS_SHOWN else f"{bases[:LETTERS_SHOWN]}... ({len(bases)} bases)"


__all__ = ["QUESTION", "read_sequence", "read_variants"]
