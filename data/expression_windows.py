"""The windows of people around the starts of genes."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from transformers.utils import logging

from textgenome.data.expression import Expression, Gene, report_genes
from textgenome.data.haplotypes import Haplotype, HaplotypeReader, PeopleWindow, window_around
from textgenome.genome.genotypes import read_genotypes
from textgenome.genome.intervals import Interval, bare_contig, printable


logger = logging.get_logger(__name__)

MOST_UNKNOWN = 0.1  # share of a window
IN_MEMORY = 2**30  # bytes of windows that are kept


class GeneWindows:
    """The windows of people around the starts of genes, made when asked for by the number of a gene.

    Args:
        genes: The genes.
        reader: What makes the haplotypes.
        window: Bases around the start, which is the base `window // 2` of what is read.
    """

    def __init__(self, genes: Sequence[Gene], reader: HaplotypeReader, window: int):
        self.genes, self.reader, self.window = genes, reader, window
        self.kept = None

    def place(self, gene: Gene) -> Interval:
        return window_around(gene.contig, gene.start, self.window, gene.strand)

    def __getitem__(self, number: int) -> PeopleWindow:
        """The haplotypes at a gene; those that were asked for last stay in memory."""
        if self.kept is None:
            window = self._read(number)
            size = sum(len(each.sequence) + each.places.nbytes * self.reader.indels for each in window.haplotypes)
            self.kept = lru_cache(maxsize=max(1, IN_MEMORY // size))(self._read)
        return self.kept(number)

    def _read(self, number: int) -> PeopleWindow:
        gene = self.genes[number]
        return self.reader(self.place(gene), gene.strand)

    def haplotypes(self) -> Iterator[Haplotype]:
        """The distinct haplotypes of all genes, gene by gene."""
        for number in range(len(self.genes)):
            yield from self[number].haplotypes


def open_windows(
    expression: Expression,
    fasta: str | Path,
    vcf: str | Path,
    window: int,
    indels: bool = False,
    unphased: str | None = None,
) -> tuple[Expression, GeneWindows]:
    """Leave out genes whose start the genome lacks, or much of whose window; read the genotypes of the rest.

    Args:
        expression: Genes and people.
        fasta: The genome.
        vcf: Genotypes, in which all people are.
        window: See `GeneWindows`.
        indels: See `HaplotypeReader`.
        unphased: See `read_genotypes`.

    Returns:
        The genes that are left, with contigs as the genome spells them, and their windows.
    """
    genome = HaplotypeReader(fasta, None)
    outside, unknown, genes, respelled, beyond = [], [], [], {}, 0
    for gene in expression.genes:
        contig = genome.contigs.get(gene.contig) or genome.contigs.get(bare_contig(gene.contig))
        inside = contig is not None and 0 <= gene.start < genome.genome.get_reference_length(contig)
        outside.append(not inside)
        place, before = window_around(contig, gene.start, window, gene.strand), genome.counts.total()
        missing = genome.reference(place).count("N") if inside else 0
        ends = genome.counts.total() - before  # bases beyond the ends of the contig are none that it lacks
        unknown.append(missing - ends > MOST_UNKNOWN * window)
        beyond += 0 if unknown[-1] else ends
        genes.append(gene._replace(contig=contig or gene.contig))
        if inside and contig != gene.contig:
            respelled[gene.contig] = contig
    for spelt, contig in respelled.items():
        logger.warning(f"The contig {printable(spelt)} of the genes is {printable(contig)} of {fasta}.")
    if beyond:
        logger.warning(f"Windows reach over ends of contigs: there are N for {beyond} bases.")
    expression, outside, unknown = replace(expression, genes=genes), np.array(outside), np.array(unknown)
    report_genes(expression, outside, "their start outside the genome")
    report_genes(expression, unknown, f"N for more than {MOST_UNKNOWN:.0%} of their window")
    expression = expression.of_genes(~outside & ~unknown)
    windows = GeneWindows(expression.genes, HaplotypeReader(fasta, None, indels), window)
    genotypes = read_genotypes(vcf, expression.samples, map(windows.place, expression.genes), unphased)
    for kind, count in genotypes.counts.items():
        logger.warning(f"{vcf}: {kind}: {count} genotypes in the windows.")
    windows.reader.genotypes = genotypes
    return expression, windows


__all__ = ["GeneWindows", "open_windows"]
