"""What a model would see: the windows of a pair, and those of the variants of a VCF file."""

from pathlib import Path

from starlette.exceptions import HTTPException

from textgenome.data.conversations import BadRow
from textgenome.data.variants import as_bases, cut_allele
from textgenome.genome.fasta import open_fasta
from textgenome.genome.intervals import match_contigs, printable
from textgenome.genome.vcf import Record, VcfFile
from textgenome.processing.processing_dna import common_ends
from textgenome.serving.engine import Engine, log_failure
from textgenome.serving.errors import FieldError
from textgenome.serving.limits import Limits
from textgenome.serving.reading import Checks, cut_pair
from textgenome.serving.responses import VariantList, VariantWindows, WindowPart, Windows
from textgenome.serving.schema import Pair, VariantsRequest
from textgenome.serving.tasks import sequences_read


def read_windows(request: Pair, engine: Engine) -> Windows:
    """The windows of a pair as the model sees them, and where in the pair the change is."""
    checks = Checks(engine)
    pair = checks.dna("reference", request.reference), checks.dna("variant", request.variant)
    windows = cut_pair("variant", pair, engine.processor.dna_window)
    start, suffix = common_ends(*windows)
    before, after = common_ends(*pair)
    removed, added = (sequence[before : len(sequence) - after] for sequence in pair)
    parts = [
        WindowPart(before=each[:start], changed=each[start : len(each) - suffix], after=each[len(each) - suffix :])
        for each in windows
    ]
    return Windows(
        position=before + 1,
        removed=len(removed),
        added=len(added),
        start=before - start + 1,
        reference=parts[0],
        variant=parts[1],
    )


def read_vcf(request: VariantsRequest, engine: Engine, fasta: Path) -> VariantList:
    """Each ALT allele of a small VCF file in its window of a genome. Genotypes are not read.

    Raises:
        FieldError: If it is not a VCF file, holds more variants than a request may have sequences for, or one that is
            not on the genome.
        HTTPException: If the genome cannot be read. Only the log says where it failed: the message names a path.
    """
    alleles, left_out = read_alleles(request.vcf, engine.limits)
    window, found = window_of(engine), []
    try:
        with open_fasta(fasta) as genome:
            contigs = match_contigs(genome.references)
            for record, allele in alleles:
                try:
                    pair = cut_allele(record, allele, genome, contigs, window, engine.limits.bases)
                except BadRow as error:
                    raise FieldError("vcf", f"{record.place}, column {error.column}: {error}") from error
                name = printable(str(record.variant(allele)))
                found.append(VariantWindows(name=name, reference=pair[0], variant=pair[1]))
    except FieldError:
        raise
    except (OSError, ValueError) as error:
        log_failure("Reading the genome", error)
        raise HTTPException(500, "The service cannot read its genome.") from None
    return VariantList(data=found, left_out=left_out)


def read_alleles(text: str, limits: Limits) -> tuple[list[tuple[Record, str]], int]:
    """The ALT alleles of a VCF file that give a sequence, each with its record, and how many others there are.

    Raises:
        FieldError: If it is not a VCF file, or holds none, too many or too long ones, or some with an N.
    """
    most, alleles, left_out = limits.sequences // 2, [], 0
    try:
        records = VcfFile("VCF", iter(text.removesuffix("\n").split("\n")))
        pairs = [(record, allele) for record in records for allele in record.alleles]
    except ValueError as error:
        raise FieldError("vcf", str(error)) from error
    for record, allele in pairs:
        bases = f"{record.reference}{allele}"
        if not as_bases(allele):
            left_out += 1
        elif "N" in bases.upper():
            raise FieldError("vcf", f"{record.place}: REF and ALT must not have N, which is no change to ask about")
        elif len(bases) > limits.bases:
            raise FieldError("vcf", f"{record.place}: REF and ALT have {len(bases)} bases, at most {limits.bases}")
        else:
            alleles.append((record, allele))
    if not alleles:
        raise FieldError("vcf", "there is no variant with a sequence in it")
    if len(alleles) > most:
        raise FieldError("vcf", f"it has more than {most} variants: cut out those to ask about")
    return alleles, left_out


def window_of(engine: Engine) -> int:
    """Most bases of the windows of variants. A model of single sequences must read them whole."""
    processor = engine.processor
    if sequences_read(engine.model) == 2:
        return processor.dna_window
    special = processor.dna_tokenizer.num_special_tokens_to_add()
    return min(processor.dna_window, processor.dna_tokenizer.model_max_length - special)


__all__ = ["read_vcf", "read_windows"]
