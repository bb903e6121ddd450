"""Copying a VCF file with values for its variants, and checking before that its copy can be read."""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

from textgenome.genome.intervals import printable
from textgenome.genome.progress import Progress
from textgenome.genome.vcf import declared_info, encode_line, open_vcf, quiet_htslib, reason_of_htslib


try:
    import pysam
except ImportError:
    pysam = None


logger = logging.getLogger(__name__)

NOTICE = "Research use only, not for diagnosis"
# Keys that are written together: those of an earlier run go, also where there is no new value.
TOGETHER = {"TG_ANSWER": ("TG_ANSWER", "TG_SCORE")}
_SAFE_IN_INFO = "()[]{}'/|&+*!?<>@#$^~"


def check_vcf(path: str | Path) -> None:
    """Read a whole VCF or BCF file by htslib, samples too, as bcftools will read its copy.

    Raises:
        ValueError: If it cannot be read; the message has the line and the reason of htslib.
    """
    number = None
    try:
        with quiet_htslib(), pysam.VariantFile(str(path)) as records:
            number = 0
            for _ in Progress(records, desc="Checking variants", unit="record"):
                number += 1
    except (OSError, ValueError, NotImplementedError) as error:
        with open_vcf(path) as file:
            line = "" if number is None else f", line {len(file.header) + number + 2}"
        raise ValueError(f"{path}{line}: {reason_of_htslib(path) or error}.") from error


def annotate_vcf(
    vcf: str | Path,
    output: str | Path,
    fields: Mapping[str, tuple[str, str]],
    values: Iterable[tuple[str, Mapping[str, str | float | None]]],
) -> None:
    """Copy a VCF file, with values for its ALT alleles in INFO and the notice in the header.

    All else is copied as text, and only what an earlier run left in these fields goes. If the records are sorted, the
    copy gets an index (.tbi).

    Args:
        vcf: A VCF file, plain or compressed, or a BCF file.
        output: The copy, compressed by bgzip.
        fields: Type and description of each key of INFO, one value an allele. Values of the type `String` are
            percent-encoded, as VCF 4.3 has it.
        values: For each allele, in the order of the file, the name of the variant (see `Variant`) and values by key.
            Alleles may be left out; what is missing is `.`.

    Raises:
        OSError: If the copy cannot be written.
        ValueError: If there are values for an allele that is not in the file, or not in this order.
    """
    values = iter(values)
    name, known = next(values, (None, {}))
    unfinished, keys = f"{output}.unfinished", {key for field in fields for key in TOGETHER.get(field, (field,))}
    try:
        with open_vcf(vcf) as file, pysam.BGZFile(unfinished, "w") as copy:
            for line in (*_annotated_header(file.header, fields, keys), "\t".join(file.columns)):
                copy.write(encode_line(line))
            for record in Progress(file, desc="Writing variants", unit="record"):
                said = []
                for allele in record.alleles:
                    is_next = str(record.variant(allele)) == name
                    said.append(known if is_next else {})
                    name, known = next(values, (None, {})) if is_next else (name, known)
                kept = [field for field in record.info if field.partition("=")[0] not in keys]
                if said:
                    for key in fields:
                        kept.append(f"{key}={','.join(_encode(each.get(key)) for each in said)}")
                columns = [*record.columns[:7], ";".join(kept) or ".", *record.columns[8:]]
                copy.write(encode_line("\t".join(columns)))
        if name is not None:
            raise ValueError(f"{vcf}: there is no {printable(name)} where one is expected. Was the file changed?")
        _write_index(unfinished, output)
        os.replace(unfinished, output)
    except OSError as error:
        raise OSError(f"{output}: cannot be written: {error}.") from error
    finally:
        Path(unfinished).unlink(missing_ok=True)


def _write_index(unfinished: str, output: str | Path) -> None:
    """Write `OUTPUT.tbi`; an old one goes, also where there can be no new one."""
    index = Path(f"{output}.tbi")
    index.unlink(missing_ok=True)
    try:
        with quiet_htslib():
            pysam.tabix_index(unfinished, preset="vcf", index=f"{unfinished}.tbi", force=True, keep_original=True)
        os.replace(f"{unfinished}.tbi", index)
    except OSError:
        Path(f"{unfinished}.tbi").unlink(missing_ok=True)
        why = "its records are not sorted (try `bcftools sort`), or a position is beyond 2^29"
        logger.warning(f"{output} has no index: {why}.")


def _annotated_header(header: list[str], fields: Mapping[str, tuple[str, str]], keys: set[str]) -> Iterator[str]:
    notice = f"##textgenome={NOTICE}"
    yield from (line for line in header if line != notice and declared_info(line)[0] not in keys)
    yield notice
    for key, (kind, description) in fields.items():
        description = " ".join(description.split()).replace("\\", "\\\\").replace('"', '\\"')
        yield f'##INFO=<ID={key},Number=A,Type={kind},Description="{description}">'


def _encode(value: str | float | None) -> str:
    if value is None:
        return "."
    return quote(value, safe=_SAFE_IN_INFO) if isinstance(value, str) else f"{value:g}"


__all__ = ["NOTICE", "annotate_vcf", "check_vcf"]
