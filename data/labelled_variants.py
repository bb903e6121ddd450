"""Alleles of a VCF file with their labels as rows, and which of them are held out."""

from collections.abc import Sequence
from pathlib import Path

from datasets import Dataset

from textgenome.data.variants import read_variants
from textgenome.genome.bed import read_bed
from textgenome.genome.intervals import bare_contig


class Places:
    """The contigs, or the regions of a BED file, that positions are looked up in. `chr1` and `1` mean the same."""

    def __init__(self, contigs: Sequence[str] = (), bed: str | Path | None = None):
        self.contigs = {bare_contig(name) for name in contigs}
        self.regions: dict[str, list[tuple[int, int]]] = {}
        for region in read_bed(bed) if bed else ():
            self.regions.setdefault(bare_contig(region.contig), []).append((region.start, region.end))

    def hold(self, variant: str) -> bool:
        """Whether they hold the first base of a variant, `contig:position:REF:ALT`."""
        contig, position, _, _ = variant.rsplit(":", 3)
        contig, place = bare_contig(contig), int(position) - 1
        return contig in self.contigs or any(start <= place < end for start, end in self.regions.get(contig, ()))


def read_labelled_variants(
    vcf: str | Path,
    fasta: str | Path | None,
    labels: str | None,
    regions: str | Path | None = None,
    test_regions: str | Path | None = None,
    test_contigs: Sequence[str] = (),
    **options,
) -> tuple[Dataset, Dataset | None]:
    """The rows of a VCF file to train on, and those that are held out by their place.

    Args:
        vcf: Variant calls, see `read_variants`.
        fasta: Their genome.
        labels: What holds the labels.
        regions: A BED file of what to train on; by default all that is not held out.
        test_regions: A BED file of what to hold out.
        test_contigs: Or contigs to hold out.
        options: For `read_variants`.

    Returns:
        Rows with `variant`, `reference_sequence`, `variant_sequence` and `answer`. The second is None if nothing is to
        be held out.

    Raises:
        ValueError: If the genome or the labels are not named, or no variant is left to train or evaluate on.
    """
    for name, value in (("fasta", fasta), ("labels", labels)):
        if value is None:
            raise ValueError(f"Variants of {vcf} need --{name}: their genome by --fasta, what is learnt by --labels.")
    held_out = Places(test_contigs, test_regions)
    chosen = Places(bed=regions) if regions else None
    train, test = [], []
    for row in read_variants(vcf, fasta, labels=labels, **options):
        del row["question"]
        if held_out.hold(row["variant"]):
            test.append(row)
        elif chosen is None or chosen.hold(row["variant"]):
            train.append(row)
    holds_out = bool(test_contigs or test_regions)
    if not train or (holds_out and not test):
        what = "train" if not train else "evaluate"
        raise ValueError(
            f"{vcf}: no variant is left to {what} on. Look at --regions, --test_regions and --test_contigs."
        )
    return Dataset.from_list(train), Dataset.from_list(test) if holds_out else None


__all__ = ["read_labelled_variants"]
