"""Variant calls to rows: each ALT allele of a VCF file in its window of the genome."""

import math
import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from transformers.utils import logging

from textgenome.data.conversations import DNA_COLUMNS, BadRow, row_to_messages
from textgenome.data.forms import fields_of_question, fill_question
from textgenome.data.rows import ROWS_SHOWN, report_bad_rows
from textgenome.genome.fasta import fetch, open_fasta, read_record
from textgenome.genome.intervals import bare_contig, match_contigs, printable
from textgenome.genome.progress import Progress
from textgenome.genome.vcf import COLUMNS, Record, VcfFile, kind_without_bases, label_of, open_vcf
from textgenome.processing.processing_dna import DNA_WINDOW, common_prefix, normalize_dna, variant_window


logger = logging.get_logger(__name__)

QUESTION = "What is the effect of this variant?"
LETTERS_SHOWN = 12
_BASES = re.compile(r"[A-Za-z]+")
# VCF 4.3, section 1.6.1: an ambiguity letter of the genome is the first of its bases in REF.
_FIRST_BASE = str.maketrans("RYSWKMBDHV", "ACCAGACAAA")


class _Mismatch(BadRow):
    """REF is not what the genome holds."""


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
        fasta: The genome, plain or compressed by bgzip. An index that is missing or old is written beside it.
        question: To be asked about each variant. A name in braces, the column `ID`, `QUAL` or `FILTER` or a key of
            INFO, is replaced by its value, as in `What does this variant in {GENE} do?`.
        window: Most bases of either window; see `variant_window`.
        labels: The column `ID`, `QUAL` or `FILTER`, or the key of INFO, that holds the answer; by default none does.
        on_bad_row: `raise` refuses, once all is read, a file with bad alleles; `skip` leaves them out and logs them.
        conversation_options: See `row_to_messages`.

    Yields:
        Rows with `variant` (`contig:position:REF:ALT` as in the VCF), a column for each name in braces, `question`,
        `reference_sequence`, `variant_sequence` and perhaps `answer`.

    Raises:
        OSError: If pysam is missing, or a file cannot be opened.
        ValueError: If a file is of another format, the header declares no such key of INFO, or alleles are bad: their
            contig is not in the genome, their REF is not what the genome holds, they have no label or no value for
            the question. The message names up to ten.
    """
    good, skipped, bad, spellings = 0, {}, [], {}
    with open_vcf(vcf) as records, open_fasta(fasta) as genome:
        names = fields_of_question(question)
        values = {key: partial(label_of, key=key, values=_values_of_label(records, key)) for key in names}
        label = None if labels is None else partial(label_of, key=labels, values=_values_of_label(records, labels))
        contigs = match_contigs(genome.references)
        for record in Progress(records, desc="Reading variants", unit="record"):
            spellings[record.contig] = contigs.get(record.contig) or contigs.get(bare_contig(record.contig))
            for number, allele in enumerate(record.alleles):
                if allele and not as_bases(allele):
                    skipped.setdefault(kind_without_bases(allele), []).append(record.place)
                    continue
                try:
                    said = {key: _label(value, record, number) for key, value in values.items()}
                    row = {"variant": str(record.variant(allele)), **said}
                    row["question"] = fill_question(question, said.__getitem__)
                    row |= dict(zip(DNA_COLUMNS, cut_allele(record, allele, genome, contigs, window)))
                    if label is not None:
                        row["answer"] = _label(label, record, number)
                    row_to_messages(row, answered=label is not None, **conversation_options)
                except BadRow as error:
                    bad.append((f"{vcf}, {record.place}, ALT {number + 1}, column {error.column!r}: {error}", error))
                    continue
                good += 1
                yield row
    for kind, places in skipped.items():
        logger.warning_once(f"Left out {len(places)} {kind} of {vcf}, the first at {places[0]}.")
    _log_spellings(vcf, fasta, spellings)
    _report_bad_alleles(vcf, fasta, bad, good + len(bad), on_bad_row)


def read_values(vcf: str | Path, key: str) -> dict[str, str]:
    """What a VCF file says of its ALT alleles, by the name of the variant. Those without a value are left out.

    Args:
        vcf: A VCF file, plain or compressed, or a BCF file.
        key: The column `ID`, `QUAL` or `FILTER`, or the key of INFO.

    Raises:
        OSError: If pysam is missing, or the file cannot be opened.
        ValueError: If the header declares no such key.
    """
    values = {}
    with open_vcf(vcf) as records:
        declared = _values_of_label(records, key)
    with open_vcf(vcf) as records:
        for record in records:
            for number, allele in enumerate(record.alleles):
                try:
                    values[str(record.variant(allele))] = label_of(record, number, key, declared)
                except ValueError:
                    continue  # it says nothing of this allele
    return values


def read_sequence(source: str) -> str:
    """A sequence: as it is given, or the only record of a FASTA file or pipe.

    Raises:
        ValueError: If it is neither a file nor DNA, or the file holds anything but one record.
    """
    if not os.path.exists(source) or os.path.isdir(source):
        try:
            return normalize_dna(source)
        except ValueError as error:
            raise ValueError(f"There is no such FASTA file, and as a sequence: {error}") from error
    record = read_record(source)
    try:
        return normalize_dna(record)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def _values_of_label(records: VcfFile, key: str) -> str:
    """How many values the header says that a column or key of INFO has."""
    declared = records.info_numbers
    if key in COLUMNS:
        return "1"
    if key in declared:
        return declared[key]
    for record in records:
        if any(field.partition("=")[0] == key for field in record.info):
            raise ValueError(
                f"{records.path}: INFO has {key!r}, first at {record.place}, but it is not declared in the header. "
                f"Add a line there, such as ##INFO=<ID={key},Number=.,Type=String,Description=...>"
            )
    keys = ", ".join([*COLUMNS, *declared])
    raise ValueError(f"{records.path}: no column or key of INFO is named {key!r}: choose from {keys}.")


def _log_spellings(vcf: str | Path, fasta: str | Path, spellings: dict[str, str | None]) -> None:
    """Say once which contigs the genome spells in another way."""
    other = [f"{printable(ours)} is {printable(name)}" for ours, name in spellings.items() if name not in (None, ours)]
    if other:
        more = f", and {len(other) - ROWS_SHOWN} more" if len(other) > ROWS_SHOWN else ""
        logger.warning_once(f"{vcf}: contigs are those of {fasta}: {', '.join(other[:ROWS_SHOWN])}{more}.")


def _report_bad_alleles(vcf, fasta, bad: list[tuple[str, BadRow]], number: int, on_bad_row: str) -> None:
    mismatches, hint = sum(isinstance(error, _Mismatch) for _, error in bad), None
    if mismatches:
        share = f"{mismatches} of {number} alleles ({mismatches / number:.1%})"
        hint = f"{vcf}: REF differs from {fasta} in {share}. Is it another assembly?"
    report_bad_rows([message for message, _ in bad], number, on_bad_row, hint)


def _label(label: partial, record: Record, number: int) -> str:
    try:
        return label(record, number)
    except ValueError as error:
        raise BadRow(label.keywords["key"], str(error)) from error


def as_bases(allele: str) -> bool:
    """Whether an ALT allele gives a sequence."""
    return _BASES.fullmatch(allele) is not None


def cut_allele(
    record: Record, allele: str, genome, contigs: dict[str, str], window: int, repeat: float = math.inf
) -> tuple[str, str]:
    """The windows of the reference and of one ALT allele.

    Args:
        record: Of a VCF file.
        allele: One of its ALT alleles, with a sequence.
        genome: See `open_fasta`.
        contigs: See `match_contigs`.
        window: Most bases of either window; see `variant_window`.
        repeat: Most bases to look through for the end of a repeat that the change is in.

    Raises:
        BadRow: If it is not on the genome, or there is nothing to show.
    """
    contig, reference = contigs.get(record.contig) or contigs.get(bare_contig(record.contig)), record.reference
    if contig is None:
        names = printable(", ".join(genome.references[:ROWS_SHOWN]))
        raise BadRow("CHROM", f"the genome has no such contig; it starts with {names}")
    if not reference or not allele:
        raise BadRow("ALT" if reference else "REF", "it is empty")
    start, end, length = record.start, record.start + len(reference), genome.get_reference_length(contig)
    if not 0 <= start < end <= length:
        raise BadRow("POS", f"REF is not within the contig {printable(contig)}, which has {length} bases")
    if len(reference) == len(allele) == 1:
        windows = _substitute(genome, contig, start, length, reference.upper(), allele.upper(), window)
        if windows is not None:
            return windows
    left = max(0, start - window)
    before, found = fetch(genome, contig, left, start), fetch(genome, contig, start, end)
    if not bases_agree(reference, found):
        raise _Mismatch("REF", f"it is {_shorten(reference)}, but the genome has {_shorten(found.upper())} there")
    if reference.upper() == allele.upper():
        raise BadRow("ALT", "it is the same as REF")
    reach = 2 * window
    while True:
        after = fetch(genome, contig, end, end + reach)
        # In a repeat the change is placed at its right-most position, and needs a flank after that.
        alike = common_prefix((reference + after).upper(), (allele + after).upper())
        if len(after) < reach or alike + window <= reach:
            break
        if reach >= repeat:
            raise BadRow("ALT", f"it is in a repeat of more than {repeat} bases")
        reach *= 2
    try:
        after = after[: alike + window]
        return variant_window(before + reference + after, before + allele + after, window)
    except ValueError as error:
        raise BadRow("ALT", str(error)) from error


def _substitute(
    genome, contig: str, start: int, length: int, reference: str, allele: str, window: int
) -> tuple[str, str] | None:
    """What `variant_window` gives of one base that another one replaces, without looking for the place where they
    differ; None for all that is not as plain as that. Most records of most files are."""
    if reference == allele or not {reference, allele} <= {*"ACGT"} or window < 1:
        return None
    spare, behind = window - 1, min(length - start - 1, window)
    left = min(start, window, max(spare // 2, spare - behind))
    right = min(behind, spare - left)
    try:
        bases = normalize_dna(fetch(genome, contig, start - left, start + 1 + right))
    except ValueError:
        return None
    return (bases, f"{bases[:left]}{allele}{bases[left + 1 :]}") if bases[left] == reference else None


def bases_agree(reference: str, found: str) -> bool:
    """Whether REF is what the genome holds; for an ambiguity letter it may have N, as the model sees it."""
    pairs = zip(reference.upper(), found.upper())
    return all(
        ref.translate(_FIRST_BASE) == base.translate(_FIRST_BASE) or (ref == "N" and ord(base) in _FIRST_BASE)
        for ref, base in pairs
    )


def _shorten(bases: str) -> str:
    return printable(bases if len(bases) <= LETTERS_SHOWN else f"{bases[:LETTERS_SHOWN]}... ({len(bases)} bases)")


__all__ = ["QUESTION", "as_bases", "bases_agree", "cut_allele", "read_sequence", "read_values", "read_variants"]
