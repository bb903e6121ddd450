"""Variant calls to rows: each ALT allele of a VCF file in its window of the genome. Needs pysam (the extra `vcf`)."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, unquote

from tqdm import tqdm
from transformers.utils import logging

from textgenome.processing.conversations import DNA_COLUMNS, BadRow, row_to_messages
from textgenome.processing.processing_dna import common_prefix, normalize_dna, variant_window
from textgenome.processing.rows import ROWS_SHOWN, report_bad_rows


try:
    import pysam
except ImportError:
    pysam = None

logger = logging.get_logger(__name__)

QUESTION = "What is the effect of this variant?"
NOTICE = "Research use only, not for diagnosis"
COLUMNS = ("ID", "QUAL", "FILTER")
KEYS = ("TG_ANSWER", "TG_SCORE")
LETTERS_SHOWN = 12
_BASES = re.compile(r"[A-Za-z]+")
# VCF 4.3, section 1.6.1: an ambiguity letter of the genome is the first of its bases in REF.
_FIRST_BASE = str.maketrans("RYSWKMBDHV", "ACCAGACAAA")
_SAFE_IN_INFO = "()[]{}'/|&+*!?<>@#$^~"


def read_variants(
    vcf: str | Path,
    fasta: str | Path,
    question: str = QUESTION,
    window: int = 2048,
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
    with _open_vcf(vcf, drop_samples=True) as records, _open_fasta(fasta) as genome:
        if labels is not None and labels not in (*COLUMNS, *records.header.info):
            keys = ", ".join([*COLUMNS, *records.header.info])
            raise ValueError(f"{vcf}: no column or key of INFO is named {labels!r}: choose from {keys}.")
        contigs = {_bare(name): name for name in genome.references} | {name: name for name in genome.references}
        for record in tqdm(_read(records), desc="Reading variants", unit="record", disable=None):
            for number, allele in enumerate(record.alts or ()):
                place = f"{record.contig}:{record.pos}"
                if not _BASES.fullmatch(allele):
                    kind = _kind_without_bases(allele)
                    skipped[kind] += 1
                    examples.setdefault(kind, place)
                    continue
                try:
                    pair = _cut(record, allele, genome, contigs, window)
                    row = {"variant": variant_name(record, allele), "question": question}
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


def annotate_vcf(
    vcf: str | Path,
    output: str | Path,
    fields: Mapping[str, tuple[str, str]],
    values: Mapping[str, Mapping[str, str | float | None]],
) -> None:
    """Copy a VCF file, with values for its ALT alleles in INFO and the notice in the header.

    What an earlier run left in `TG_ANSWER` and `TG_SCORE` goes.

    Args:
        vcf: As in `read_variants`.
        output: The copy, compressed by bgzip.
        fields: Type and description of each key of INFO, one value an allele. Values of the type `String` are
            percent-encoded, as VCF 4.3 has it.
        values: By the name of the variant (see `read_variants`) and the key. What is missing is `.`.
    """
    unfinished = f"{output}.unfinished"
    with _open_vcf(vcf) as records, pysam.BGZFile(unfinished, "w") as file:
        header = records.header
        header.add_line(f"##textgenome={NOTICE}")
        stale = [key for key in KEYS if key in header.info]
        for key in stale:
            header.info.remove_header(key)
        for key, (kind, description) in fields.items():
            description = " ".join(description.split()).replace("\\", "\\\\").replace('"', '\\"')
            header.add_line(f'##INFO=<ID={key},Number=A,Type={kind},Description="{description}">')
        # As text: pysam's writer refuses records whose contig the header does not declare, as old files have them.
        file.write(str(header).encode())
        for record in tqdm(_read(records), desc="Writing variants", unit="record", disable=None):
            known = [values.get(variant_name(record, allele), {}) for allele in record.alts or ()]
            for key in stale:
                record.info.pop(key, None)
            for key, (kind, _) in fields.items():
                if known:
                    record.info[key] = tuple(_encode(each.get(key), kind) for each in known)
            file.write(str(record).encode())
    os.replace(unfinished, output)


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
    try:
        text = Path(source).read_text(encoding="utf-8-sig").strip()
    except UnicodeDecodeError:
        text = ""
    if not text.startswith(">") or "\n>" in text:
        raise ValueError(f"{source}: expected a FASTA file with one record, not compressed.")
    try:
        return normalize_dna("".join(text.split("\n")[1:]))
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def variant_name(record, allele: str) -> str:
    """`contig:position:REF:ALT`, as in the VCF; positions count from 1."""
    return f"{record.contig}:{record.pos}:{record.ref}:{allele}"


def _cut(record, allele: str, genome, contigs: dict[str, str], window: int) -> tuple[str, str]:
    contig = contigs.get(record.contig) or contigs.get(_bare(record.contig))
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


def _label(record, number: int, key: str) -> str:
    if key in COLUMNS:
        value = {"ID": record.id, "QUAL": record.qual, "FILTER": ";".join(record.filter) or None}[key]
    else:
        value = record.info.get(key)
        if record.header.info[key].number in ("A", "R"):
            per_allele = value or ()
            # Of the reference allele, too, where the header says R.
            first = int(record.header.info[key].number == "R")
            if len(per_allele) not in (0, len(record.alts) + first):
                raise BadRow(key, f"there are {len(per_allele)} values for {len(record.alts)} ALT alleles")
            value = per_allele[first + number] if per_allele else None
    parts = [f"{part:g}" if isinstance(part, float) else str(part) for part in _as_tuple(value) if part is not None]
    if not parts:
        raise BadRow(key, "there is no value to learn")
    return unquote(",".join(parts))


def _as_tuple(value) -> tuple:
    return value if isinstance(value, tuple) else (value,)


def _encode(value: str | float | None, kind: str) -> str | float | None:
    if kind == "String":
        return "." if value is None else quote(value, safe=_SAFE_IN_INFO)
    return value


def _kind_without_bases(allele: str) -> str:
    if allele == "*":
        return "spanning deletions (*)"
    return "symbolic alleles" if allele.startswith("<") else "breakends and other alleles without a sequence"


def _bare(contig: str) -> str:
    name = contig.removeprefix("chr")
    return "MT" if name == "M" else name


def _fold(bases: str) -> str:
    return bases.upper().translate(_FIRST_BASE)


def _shorten(bases: str) -> str:
    return bases if len(bases) <= LETTERS_SHOWN else f"{bases[:LETTERS_SHOWN]}... ({len(bases)} bases)"


@contextmanager
def _open_vcf(path: str | Path, **options) -> Iterator:
    if pysam is None:
        raise OSError("Reading VCF files needs pysam: pip install 'textgenome[vcf]'.")
    verbosity = pysam.set_verbosity(0)  # htslib prints what it cannot parse, bases too
    try:
        try:
            file = pysam.VariantFile(str(path), **options)
        except ValueError as error:
            raise ValueError(f"{path}: it is no VCF or BCF file.") from error
        except NotImplementedError as error:  # pysam seeks, which such files do not allow
            raise ValueError(f"{path}: it is compressed by gzip. Uncompress it, or compress it by bgzip.") from error
        except OSError as error:
            raise OSError(f"{path}: cannot be read: {error}.") from error
        with file:
            yield file
    finally:
        pysam.set_verbosity(verbosity)


def _open_fasta(path: str | Path):
    try:
        return pysam.FastaFile(str(path))
    except OSError as error:
        raise OSError(
            f"{path}: cannot be read ({error}). The genome must be a FASTA file, plain or compressed by bgzip, in a "
            "folder that holds its index (.fai) or where one can be written."
        ) from error


def _read(records) -> Iterator:
    place = "the header"
    try:
        for record in records:
            place = f"{record.contig}:{record.pos}"
            yield record
    except (OSError, ValueError) as error:
        raise ValueError(f"{records.filename.decode()}: the record after {place} cannot be read.") from error


__all__ = ["NOTICE", "QUESTION", "annotate_vcf", "read_sequence", "read_variants", "variant_name"]
