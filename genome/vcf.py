"""Reading and writing VCF files."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, unquote

from tqdm import tqdm

from textgenome.genome.intervals import Variant


try:
    import pysam
except ImportError:
    pysam = None


NOTICE = "Research use only, not for diagnosis"
COLUMNS = ("ID", "QUAL", "FILTER")
KEYS = ("TG_ANSWER", "TG_SCORE")
_SAFE_IN_INFO = "()[]{}'/|&+*!?<>@#$^~"


@contextmanager
def open_vcf(path: str | Path, **options) -> Iterator["pysam.VariantFile"]:
    """Open a VCF file, plain or compressed by bgzip, or a BCF file.

    Raises:
        OSError: If pysam is missing, or the file cannot be opened.
        ValueError: If it has another format.
    """
    if pysam is None:
        raise OSError("Reading VCF files needs pysam: pip install 'textgenome[genome]'.")
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


def read_records(records: "pysam.VariantFile") -> Iterator["pysam.VariantRecord"]:
    """The records of an open file, one after the other.

    Raises:
        ValueError: If one cannot be read; the message names the record before it.
    """
    place = "the header"
    try:
        for record in records:
            place = f"{record.contig}:{record.pos}"
            yield record
    except (OSError, ValueError) as error:
        raise ValueError(f"{records.filename.decode()}: the record after {place} cannot be read.") from error


def variant_of(record: "pysam.VariantRecord", allele: str) -> Variant:
    """One ALT allele of a record."""
    return Variant(record.contig, record.start, record.ref, allele)


def kind_without_bases(allele: str) -> str:
    """What to call an ALT allele that gives no sequence."""
    if allele == "*":
        return "spanning deletions (*)"
    return "symbolic alleles" if allele.startswith("<") else "breakends and other alleles without a sequence"


def label_of(record: "pysam.VariantRecord", number: int, key: str) -> str:
    """What a record says of its ALT allele `number`, in the column `ID`, `QUAL` or `FILTER`, or a key of INFO.

    Raises:
        ValueError: If it says nothing, or has another number of values than alleles.
    """
    if key in COLUMNS:
        value = {"ID": record.id, "QUAL": record.qual, "FILTER": ";".join(record.filter) or None}[key]
    else:
        value = record.info.get(key)
        if record.header.info[key].number in ("A", "R"):
            per_allele = value or ()
            # Of the reference allele, too, where the header says R.
            first = int(record.header.info[key].number == "R")
            if len(per_allele) not in (0, len(record.alts) + first):
                raise ValueError(f"there are {len(per_allele)} values for {len(record.alts)} ALT alleles")
            value = per_allele[first + number] if per_allele else None
    parts = [f"{part:g}" if isinstance(part, float) else str(part) for part in _as_tuple(value) if part is not None]
    if not parts:
        raise ValueError("there is no value to learn")
    return unquote(",".join(parts))


def annotate_vcf(
    vcf: str | Path,
    output: str | Path,
    fields: Mapping[str, tuple[str, str]],
    values: Mapping[str, Mapping[str, str | float | None]],
) -> None:
    """Copy a VCF file, with values for its ALT alleles in INFO and the notice in the header.

    What an earlier run left in `TG_ANSWER` and `TG_SCORE` goes.

    Args:
        vcf: A VCF file, plain or compressed, or a BCF file.
        output: The copy, compressed by bgzip.
        fields: Type and description of each key of INFO, one value an allele. Values of the type `String` are
            percent-encoded, as VCF 4.3 has it.
        values: By the name of the variant (see `Variant`) and the key. What is missing is `.`.
    """
    unfinished = f"{output}.unfinished"
    with open_vcf(vcf) as records, pysam.BGZFile(unfinished, "w") as file:
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
        for record in tqdm(read_records(records), desc="Writing variants", unit="record", disable=None):
            known = [values.get(str(variant_of(record, allele)), {}) for allele in record.alts or ()]
            for key in stale:
                record.info.pop(key, None)
            for key, (kind, _) in fields.items():
                if known:
                    record.info[key] = tuple(_encode(each.get(key), kind) for each in known)
            file.write(str(record).encode())
    os.replace(unfinished, output)


def _as_tuple(value) -> tuple:
    return value if isinstance(value, tuple) else (value,)


def _encode(value: str | float | None, kind: str) -> str | float | None:
    if kind == "String":
        return "." if value is None else quote(value, safe=_SAFE_IN_INFO)
    return value


__all__ = [
    "COLUMNS",
    "NOTICE",
    "annotate_vcf",
    "kind_without_bases",
    "label_of",
    "open_vcf",
    "read_records",
    "variant_of",
]
