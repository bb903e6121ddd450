"""The people of the starter genome: phased genotypes, and what they express.

Founders' haplotypes are mixed, so that people share long stretches. For two genes of three a site breaks a motif of
the promoter: haplotypes with it express a third.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from textgenome.genome.vcf import pysam


PEOPLE, FOUNDERS, STRETCH = 60, 12, 15_000  # a stretch is how long a founder's haplotype goes on, on average
SITE_EVERY, APART = 150, 12  # bases
INDELS = 0.03  # share of sites
COVARIATES = ("PC1", "PC2", "PC3", "batch")
BROKEN = 1 / 3  # of what is expressed where a motif is broken


class Site(NamedTuple):
    """A place where people differ, counted from 0, and which founders have the alternative there."""

    start: int
    reference: str
    alternative: str
    founders: np.ndarray


def write_people(folder: Path, sequences: Mapping[str, str], genes: Sequence, rng: np.random.Generator) -> None:
    """Write `people.vcf.gz`, `expression.bed.gz` and `covariates.tsv`.

    Args:
        folder: Where to write.
        sequences: The bases of each contig.
        genes: Of `starter_genome`.
        rng: Where all that is random comes from.
    """
    names = [f"P{number:03d}" for number in range(1, PEOPLE + 1)]
    breaks = {gene.name: int(rng.integers(*gene.motifs[0])) for gene in genes if rng.random() < 2 / 3}
    records, broken = [], {gene.name: np.zeros(PEOPLE * 2) for gene in genes}
    for contig, sequence in sequences.items():
        causal = {breaks[gene.name]: gene.name for gene in genes if gene.contig == contig and gene.name in breaks}
        sites = _sites(sequence, sorted(causal), rng)
        for site, has in zip(sites, _haplotypes(sites, len(sequence), rng)):
            records.append((contig, site, has))
            if site.start in causal:
                broken[causal[site.start]] = has
    _write_vcf(folder / "people.vcf.gz", {name: len(bases) for name, bases in sequences.items()}, names, records)
    covariates = rng.normal(size=(len(COVARIATES), PEOPLE)).round(3)
    lines = ["\t".join([row, *map(str, values)]) for row, values in zip(COVARIATES, covariates.tolist())]
    table = "\n".join(["\t".join(["SampleID", *names]), *lines]) + "\n"
    (folder / "covariates.tsv").write_text(table, encoding="ascii")
    _write_expression(folder / "expression.bed.gz", names, genes, broken, covariates, rng)


def _sites(sequence: str, causal: Sequence[int], rng: np.random.Generator) -> list[Site]:
    """Sites of a contig: those that break motifs, and others apart from them."""
    starts, place = {*causal}, 0
    while True:
        place += APART + int(rng.exponential(SITE_EVERY - APART))
        if place >= len(sequence) - 10:
            break
        if all(abs(place - other) > APART for other in causal):
            starts.add(place)
    sites = []
    for start in sorted(starts):
        if start in causal or rng.random() >= INDELS:
            reference = sequence[start]
            alternative = str(rng.choice([base for base in "ACGT" if base != reference]))
            frequency = rng.uniform(0.3, 0.6) if start in causal else rng.beta(0.6, 1.2)
        else:
            length = int(rng.integers(1, 5))
            reference, alternative = sequence[start : start + 1 + length], sequence[start]
            if rng.random() < 0.5:
                alternative = sequence[start] + "".join(rng.choice(list("ACGT"), size=length))
                reference = sequence[start]
            frequency = 0.2
        founders = np.zeros(FOUNDERS, dtype=int)
        founders[rng.permutation(FOUNDERS)[: max(1, round(frequency * FOUNDERS))]] = 1
        sites.append(Site(start, reference, alternative, founders))
    return sites


def _haplotypes(sites: Sequence[Site], length: int, rng: np.random.Generator) -> np.ndarray:
    """`(sites, haplotypes)`: 1 where a haplotype has the alternative; each is a mosaic of founders."""
    starts, alleles = np.array([site.start for site in sites]), np.array([site.founders for site in sites])
    found = np.zeros((len(sites), PEOPLE * 2), dtype=int)
    for haplotype in range(PEOPLE * 2):
        switches = np.sort(rng.integers(0, length, size=rng.poisson(length / STRETCH)))
        founders = rng.integers(0, FOUNDERS, size=len(switches) + 1)
        found[:, haplotype] = alleles[np.arange(len(sites)), founders[np.searchsorted(switches, starts)]]
    return found


def _write_vcf(path: Path, sizes: Mapping[str, int], people: Sequence[str], records: Sequence[tuple]) -> None:
    lines = ["##fileformat=VCFv4.2", '##FILTER=<ID=PASS,Description="All filters passed">']
    lines += [f"##contig=<ID={name},length={length}>" for name, length in sizes.items()]
    lines += ['##FORMAT=<ID=GT,Number=1,Type=String,Description="Phased genotype">']
    lines += ["\t".join("#CHROM POS ID REF ALT QUAL FILTER INFO FORMAT".split() + list(people))]
    for contig, site, has in records:
        genotypes = [f"{first}|{second}" for first, second in has.reshape(-1, 2).tolist()]
        place = [contig, str(site.start + 1), ".", site.reference, site.alternative, ".", "PASS", ".", "GT"]
        lines.append("\t".join(place + genotypes))
    _compress(path, lines, "vcf")


def _write_expression(
    path: Path, people: Sequence[str], genes: Sequence, broken: Mapping, covariates: np.ndarray, rng
) -> None:
    """Genes by people, as reads per kilobase: what the promoter says, times what covariates and chance do."""
    lines = ["\t".join(["#chr", "start", "end", "gene", "length", "strand", *people])]
    for gene in genes:
        copies = np.where(broken[gene.name] == 1, BROKEN, 1.0).reshape(-1, 2).mean(-1)
        chance = rng.normal(size=len(covariates)) * 0.1 @ covariates + rng.normal(scale=0.15, size=len(people))
        values = 5 * (1 + gene.activators) * copies * np.exp(chance)
        length = sum(end - start for start, end in gene.exons)
        place = [gene.contig, gene.start, gene.start + 1, gene.name, length, gene.strand]
        lines.append("\t".join(map(str, [*place, *values.round(4).tolist()])))
    _compress(path, [lines[0], *sorted(lines[1:], key=_place)], "bed")


def _place(line: str) -> tuple[str, int]:
    contig, start, _ = line.split("\t", 2)
    return contig, int(start)


def _compress(path: Path, lines: Sequence[str], preset: str) -> None:
    """Write lines by bgzip, with an index beside them."""
    plain = path.with_suffix("")
    plain.write_text("\n".join(lines) + "\n", encoding="ascii")
    pysam.tabix_compress(str(plain), str(path), force=True)
    pysam.tabix_index(str(path), preset=preset, force=True)
    plain.unlink()


__all__ = ["PEOPLE", "write_people"]
