"""Genotypes of people: the allele that each of their two haplotypes carries at each site of a VCF file."""

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from textgenome.genome.intervals import Interval, bare_contig, match_contigs, printable
from textgenome.genome.progress import Progress
from textgenome.genome.vcf import Record, VcfFile, open_vcf


UNPHASED = ("reference", "skip")
_ALLELE = re.compile(r"[0-9]{1,3}|\.")
_NAMES_SHOWN = 5


class Site(NamedTuple):
    """A record of a VCF file: `start` counts from 0, `alleles` are those of ALT."""

    contig: str
    start: int
    reference: str
    alleles: tuple[str, ...]

    @property
    def end(self) -> int:
        return self.start + len(self.reference)

    def __str__(self) -> str:
        """`contig:position`, for messages; positions count from 1."""
        return f"{printable(self.contig)}:{self.start + 1}"


@dataclass
class Genotypes:
    """What people carry.

    Args:
        samples: Their names.
        sites: By contig, in the order of the file.
        alleles: By contig, `(sites, samples, 2)`, int8: 0 is the reference, 1 the first allele of ALT, and so on.
        counts: How many genotypes were missing, haploid, or unphased and heterozygous.
    """

    samples: list[str]
    sites: dict[str, list[Site]]
    alleles: dict[str, np.ndarray]
    counts: Counter = field(default_factory=Counter)

    def within(self, interval: Interval) -> tuple[list[Site], np.ndarray]:
        """The sites that start within an interval, and what people carry there, as `(sites, samples, 2)`."""
        sites = self.sites.get(interval.contig, [])
        first, last = (bisect_left(sites, place, key=lambda site: site.start) for place in interval[1:])
        if first == last:
            return [], np.zeros((0, len(self.samples), 2), np.int8)
        return sites[first:last], self.alleles[interval.contig][first:last]


def read_genotypes(
    vcf: str | Path,
    samples: Iterable[str] | None = None,
    regions: Iterable[Interval] | None = None,
    unphased: str | None = None,
) -> Genotypes:
    """Read the genotypes of people, the phased ones as they are.

    A missing allele is the reference. So is the second haplotype of a haploid genotype, as for `bcftools consensus`.

    Args:
        vcf: A VCF file, plain or compressed by bgzip, or a BCF file, sorted. It needs no index.
        samples: Names of the people, in the order that is wanted; by default all of the file.
        regions: Keep only sites that start within these, in the spelling of their contigs; `chr1` is also `1`.
        unphased: What to do with an unphased heterozygote, which no haplotype can be made of: `reference` has the
            person carry the reference there, `skip` leaves the site out for all people. By default it is refused.

    Raises:
        OSError: If pysam is missing, or the file cannot be opened.
        ValueError: If the file is not VCF or not sorted, people or contigs are not in it, or a genotype cannot be
            read or is unphased. The message names the person and the site.
    """
    with open_vcf(vcf) as records:
        samples = list(records.samples if samples is None else samples)
        places = _places_of(records, samples)
        wanted = None if regions is None else _Regions(regions)
        found = Genotypes(samples, defaultdict(list), defaultdict(list))
        seen = set()
        for record in Progress(records, desc="Reading genotypes", unit="record"):
            contig = record.contig if wanted is None else wanted.spelling_of(record.contig)
            seen.add(record.contig)
            if contig is None or not (wanted is None or wanted.contain(contig, record.start)):
                continue
            site = Site(contig, record.start, record.reference, tuple(record.alleles))
            _check_order(vcf, site, found.sites)
            try:
                alleles = _alleles_of(record, samples, places, unphased, found.counts)
            except ValueError as error:
                raise ValueError(f"{vcf}, {site}: {error}.") from error
            if alleles is not None:
                found.sites[contig].append(site)
                found.alleles[contig].append(alleles)
    if wanted is not None:
        wanted.check_seen(vcf, seen)
    found.alleles = {contig: np.stack(rows) for contig, rows in found.alleles.items()}
    return found


class _Regions:
    """Intervals, merged, by contig."""

    def __init__(self, intervals: Iterable[Interval]):
        self.starts, self.ends = defaultdict(list), defaultdict(list)
        for contig, start, end in sorted(intervals):
            if self.ends[contig] and start <= self.ends[contig][-1]:
                self.ends[contig][-1] = max(end, self.ends[contig][-1])
            else:
                self.starts[contig].append(start)
                self.ends[contig].append(end)
        self.spellings = match_contigs(tuple(self.starts))

    def spelling_of(self, contig: str) -> str | None:
        return self.spellings.get(contig) or self.spellings.get(bare_contig(contig))

    def contain(self, contig: str, place: int) -> bool:
        after = bisect_left(self.starts[contig], place + 1)
        return after > 0 and place < self.ends[contig][after - 1]

    def check_seen(self, vcf: str | Path, contigs: set[str]) -> None:
        if not any(self.spelling_of(contig) for contig in contigs):
            asked, has = (", ".join(sorted(map(printable, names))[:_NAMES_SHOWN]) for names in (self.starts, contigs))
            raise ValueError(
                f"{vcf}: it has no record on the contigs that are asked for ({asked}), only on {has or 'none'}."
            )


def _places_of(records: VcfFile, samples: list[str]) -> list[int]:
    """Where the people are among the columns after FORMAT."""
    columns = {name: place for place, name in enumerate(records.samples)}
    missing = [name for name in samples if name not in columns]
    if missing:
        shown = printable(", ".join(missing[:_NAMES_SHOWN]))
        raise ValueError(f"{records.path}: {len(missing)} of {len(samples)} people are not in it, such as {shown}.")
    if not samples:
        raise ValueError(f"{records.path}: it has no genotypes of people.")
    return [columns[name] for name in samples]


def _check_order(vcf: str | Path, site: Site, sites: dict[str, list[Site]]) -> None:
    if sites[site.contig] and sites[site.contig][-1].start > site.start:
        raise ValueError(f"{vcf}, {site}: its records are not sorted by position: `bcftools sort` does that.")


def _alleles_of(
    record: Record, samples: list[str], places: list[int], unphased: str | None, counts: Counter
) -> np.ndarray | None:
    """What people carry at a record, as `(samples, 2)`, or None where it is to be left out."""
    form, *columns = record.columns[8].split("\t")
    if "GT" not in (keys := form.split(":")):
        raise ValueError("FORMAT has no GT, the genotypes of people")
    key, last = keys.index("GT"), len(record.alleles)
    if last > np.iinfo(np.int8).max:
        raise ValueError(f"ALT has {last} alleles, more than can be told apart here")
    texts = [columns[place].split(":", key + 1)[key] for place in places]
    kinds = {}
    for text in dict.fromkeys(texts):
        try:
            kinds[text] = _parse(text)
            if max(kinds[text][:2]) > last:
                raise ValueError(f"ALT has {last} alleles")
        except ValueError as error:
            raise ValueError(f"the genotype {printable(text)} of {samples[texts.index(text)]}: {error}") from error
        if kinds[text].kind:
            counts[kinds[text].kind] += texts.count(text)
        if kinds[text].kind == "unphased":
            if unphased is None:
                raise ValueError(
                    f"the genotype {text} of {samples[texts.index(text)]} is heterozygous and not phased. Phase the "
                    "file, or choose --unphased reference, which takes the reference there, or --unphased skip, "
                    "which leaves the site out"
                )
            if unphased == "skip":
                counts["sites left out"] += 1
                return None
            kinds[text] = _Genotype(0, 0, "unphased")
    return np.array([kinds[text][:2] for text in texts], np.int8)


class _Genotype(NamedTuple):
    first: int
    second: int
    kind: str  # `unphased`, `missing`, `haploid` or nothing


@lru_cache(maxsize=4096)
def _parse(text: str) -> _Genotype:
    alleles = text.lstrip("|/").replace("/", "|").split("|")
    if len(alleles) > 2 or not all(map(_ALLELE.fullmatch, alleles)):
        raise ValueError("expected two alleles, such as 0|1")
    if len(set(alleles)) == 2 and "/" in text:
        return _Genotype(*(0 if allele == "." else int(allele) for allele in alleles), "unphased")
    kind = "missing" if "." in alleles else "haploid" if len(alleles) == 1 else ""
    first, second = (0 if allele == "." else int(allele) for allele in [*alleles, "."][:2])
    return _Genotype(first, second, kind)


__all__ = ["UNPHASED", "Genotypes", "Site", "read_genotypes"]
