"""The two sequences of people at places of a genome: phased alleles, applied to the reference."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from textgenome.data.sequences import GenomeSequence, reverse_complement
from textgenome.data.variants import bases_agree
from textgenome.genome.bed import read_bed
from textgenome.genome.fasta import open_fasta
from textgenome.genome.genotypes import Genotypes, Site, read_genotypes
from textgenome.genome.intervals import Interval, Variant, bare_contig, match_contigs, printable
from textgenome.genome.progress import Progress
from textgenome.genome.vcf import kind_without_bases, pysam
from textgenome.processing.processing_dna import common_ends, normalize_dna


_BASES = re.compile(r"[A-Za-z]+")


class Haplotype(NamedTuple):
    """A sequence, and for each base of the reference where it is in it, `(reference bases,)`, int64.

    A deleted base is where the base before it is, or the first one.
    """

    sequence: str
    places: np.ndarray


class PeopleWindow(NamedTuple):
    """What people have at one place.

    Args:
        haplotypes: The distinct ones, the reference first.
        index: `(samples, 2)`, which of them each person has.
    """

    haplotypes: list[Haplotype]
    index: np.ndarray


def apply_variants(bases: str, start: int, variants: Iterable[Variant]) -> Haplotype:
    """Put the variants of a haplotype into the reference, as `bcftools consensus` does.

    A variant that overlaps one before it is left out, but an insertion or deletion may follow at the last base of
    what was changed, unless that was an insertion. One that begins before the first base is left out, and one that
    reaches past the last base is cut there.

    Args:
        bases: Of the reference.
        start: Place of the first of them, counted from 0.
        variants: By position, none symbolic.
    """
    parts, places, done, length = [], [np.zeros(0, np.int64)], start, 0
    frozen, inserted = start - 1, False
    for variant in variants:
        end = min(variant.interval.end, start + len(bases))
        alternative = variant.alternative
        if end < variant.interval.end:
            alternative = alternative[: max(end - variant.start, 0)]
        anchored = _is_anchored(variant)
        follows = variant.start == frozen and anchored and not inserted
        if not start <= variant.start < end or (variant.start <= frozen and not follows):
            continue
        skipped = int(anchored)
        changed, alternative = variant.start + skipped, alternative[skipped:]
        parts += [bases[done - start : changed - start], alternative]
        places.append(np.arange(length, length + changed - done))
        length += changed - done
        places.append(np.maximum(length + np.arange(end - changed).clip(max=len(alternative) - 1), 0))
        length += len(alternative)
        inserted = len(alternative) > end - changed
        done, frozen = max(done, end), end - 1
    parts.append(bases[done - start :])
    places.append(np.arange(length, length + len(parts[-1])))
    return Haplotype("".join(parts), np.concatenate(places))


def _is_anchored(variant: Variant) -> bool:
    """Whether it is an insertion or a deletion after a base that it leaves alone."""
    reference, alternative = variant.reference.upper(), variant.alternative.upper()
    before, after = common_ends(reference, alternative)
    is_indel = len(reference) != len(alternative) and before + after == min(len(reference), len(alternative))
    return is_indel and before > 0


class HaplotypeReader:
    """Makes the haplotypes of people, of a genome and their genotypes, when asked for a place.

    Args:
        fasta: The genome, plain or compressed by bgzip.
        genotypes: Of the people, on contigs as `fasta` spells them.
        indels: Whether to apply all alleles that have a sequence. By default only substitutions of one base are, so
            that haplotypes are as long as the reference.

    Attributes:
        counts: By their kind, how many alleles were left out, and how many bases beyond the ends of contigs are N, in
            all windows that were asked for.
    """

    def __init__(self, fasta: str | Path, genotypes: Genotypes, indels: bool = False):
        self.fasta, self.genotypes, self.indels = fasta, genotypes, indels
        self.genome = open_fasta(fasta)
        self.contigs = match_contigs(self.genome.references)
        self.counts = Counter()

    def __call__(self, interval: Interval, strand: str = "+") -> PeopleWindow:
        """The distinct haplotypes of all people within an interval, reverse-complemented where the strand is `-`.

        Raises:
            ValueError: If the genome has no such contig, or REF of a site is not what the genome has there.
        """
        bases = self.reference(interval)
        sites, alleles = self.genotypes.within(interval)
        self._check_references(interval, bases, sites)
        patterns, index = np.unique(self._applied(sites, alleles), axis=0, return_inverse=True)
        found, order = {bases: apply_variants(bases, interval.start, [])}, []
        for pattern in patterns:
            carried = [(site, site.alleles[number - 1]) for site, number in zip(sites, pattern) if number]
            variants = [Variant(site.contig, site.start, site.reference, normalize_dna(alt)) for site, alt in carried]
            haplotype = apply_variants(bases, interval.start, variants)
            if not self.indels:  # places take eight times the memory of letters
                haplotype = haplotype._replace(places=found[bases].places)
            found.setdefault(haplotype.sequence, haplotype)
            order.append(list(found).index(haplotype.sequence))
        haplotypes = [*found.values()]
        if strand == "-":
            haplotypes = [_turn(each) if self.indels else _turn(each, each.places) for each in haplotypes]
        return PeopleWindow(haplotypes, np.array(order)[index.reshape(-1, 2)])

    def reference(self, interval: Interval) -> str:
        """Bases of the genome in the letters A, C, G, T and N; beyond the ends of the contig they are N.

        Raises:
            ValueError: If the genome has no such contig, or no base of it is within the interval.
        """
        contig = self.contigs.get(interval.contig) or self.contigs.get(bare_contig(interval.contig))
        if contig is None:
            raise ValueError(f"{self.fasta}: the genome has no contig {printable(interval.contig)}.")
        length = self.genome.get_reference_length(contig)
        inside = min(interval.end, length) - max(interval.start, 0)
        if inside <= 0:
            place = f"{printable(contig)}:{interval.start + 1}-{interval.end}"
            raise ValueError(f"{self.fasta}: {place} is not within the contig, which has {length} bases.")
        self.counts["bases beyond the ends of contigs"] += interval.end - interval.start - inside
        return GenomeSequence(self.genome, Interval(contig, *interval[1:]))[:]

    def _check_references(self, interval: Interval, bases: str, sites: list[Site]) -> None:
        wrong = []
        for site in sites:
            found = bases[site.start - interval.start :][: len(site.reference)]
            known = [(ref, base) for ref, base in zip(site.reference, found) if base != "N"]
            if not all(bases_agree(*pair) for pair in known):
                wrong.append(site)
        if wrong:
            raise ValueError(
                f"{self.fasta}: REF of {len(wrong)} of {len(sites)} records in {printable(interval.contig)}:"
                f"{interval.start + 1}-{interval.end} is not what the genome has, the first at {wrong[0]}. Is it "
                "another assembly?"
            )

    def _applied(self, sites: list[Site], alleles: np.ndarray) -> np.ndarray:
        """What each haplotype carries, `(haplotypes, sites)`, with 0 for alleles that are not applied."""
        applied = alleles.reshape(len(sites), 2 * len(self.genotypes.samples)).T.copy()
        for place, site in enumerate(sites):
            for number, allele in enumerate(site.alleles, 1):
                why = self._why_not(site.reference.upper(), allele.upper())
                if why and (carried := applied[:, place] == number).any():
                    applied[carried, place] = 0
                    self.counts[why] += 1
        return applied

    def _why_not(self, reference: str, allele: str) -> str | None:
        if not _BASES.fullmatch(allele):
            return kind_without_bases(allele)
        if self.indels:
            return None
        if len(reference) != len(allele):
            return "insertions and deletions"
        return "substitutions of several bases" if sum(map(str.__ne__, reference, allele)) > 1 else None


def _turn(haplotype: Haplotype, places: np.ndarray | None = None) -> Haplotype:
    if places is None:
        places = len(haplotype.sequence) - 1 - haplotype.places[::-1]
    return Haplotype(reverse_complement(haplotype.sequence), places)


def window_around(contig: str, place: int, window: int, strand: str = "+") -> Interval:
    """So many bases around a place, which is then the base `window // 2` of the window, on either strand."""
    start = place - window // 2 if strand == "+" else place - (window - 1) // 2
    return Interval(contig, start, start + window)


def write_haplotypes(
    vcf: str | Path,
    fasta: str | Path,
    regions: str | Path,
    output: str | Path,
    samples: Iterable[str] | None = None,
    indels: bool = False,
    unphased: str | None = None,
) -> Counter:
    """Write the two sequences of each person in each region, as FASTA records `region|person|1` and `region|person|2`.

    Args:
        vcf: Genotypes, see `read_genotypes`.
        fasta: The genome.
        regions: A BED file. Regions on the strand `-` are reverse-complemented.
        output: FASTA file, compressed by bgzip if it ends with `.gz`.
        samples: Names of the people, by default all of the file.
        indels: See `HaplotypeReader`.
        unphased: See `read_genotypes`.

    Returns:
        How many `records` there are, how many of them are `distinct`, and the counts of `Genotypes` and
        `HaplotypeReader`.
    """
    regions = list(read_bed(regions))
    genotypes = read_genotypes(vcf, samples, [region.interval for region in regions], unphased)
    reader, counts = HaplotypeReader(fasta, genotypes, indels), Counter()
    with _written(output) as file:
        for region in Progress(regions, desc="Writing haplotypes", unit="region"):
            window = reader(region.interval, region.strand)
            counts["distinct"] += len(np.unique(window.index))
            for sample, row in zip(genotypes.samples, window.index):
                for number, which in enumerate(row, 1):
                    sequence = window.haplotypes[which].sequence
                    file.write(f">{region.name}|{sample}|{number}\n{sequence}\n".encode())
                    counts["records"] += 1
    return counts + reader.counts + genotypes.counts


@contextmanager
def _written(path: str | Path) -> Iterator[BinaryIO]:
    """A new file, compressed by bgzip if its name ends with `.gz`, which is there once it is whole."""
    if os.path.exists(path):
        raise FileExistsError(f"{path} is there already. Remove it, or name another file.")
    unfinished = f"{path}.unfinished"
    try:
        with pysam.BGZFile(unfinished, "w") if str(path).endswith(".gz") else open(unfinished, "wb") as file:
            yield file
        os.replace(unfinished, path)
    finally:
        Path(unfinished).unlink(missing_ok=True)


def read_names(path: str | Path) -> list[str]:
    """Names of people, one a line.

    Raises:
        ValueError: If there is none, or one is there twice.
    """
    names = [line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice or not names:
        raise ValueError(
            f"{path}: " + (f"the name {printable(twice[0])} is there twice." if twice else "it is empty.")
        )
    return names


__all__ = [
    "Haplotype",
    "HaplotypeReader",
    "PeopleWindow",
    "apply_variants",
    "read_names",
    "window_around",
    "write_haplotypes",
]
