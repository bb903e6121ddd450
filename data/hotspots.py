"""Tiles of a genome that hold more variants than chance puts there."""

import logging
from collections import defaultdict
from pathlib import Path

import numpy as np
from scipy.stats import false_discovery_control, poisson

from textgenome.genome.fasta import fetch, open_fasta
from textgenome.genome.intervals import Interval, bare_contig, match_contigs, printable
from textgenome.genome.progress import Progress
from textgenome.genome.vcf import open_vcf


logger = logging.getLogger(__name__)


def find_hotspots(vcf: str | Path, tile: int = 8192, fdr: float = 0.05, fasta: str | Path | None = None) -> list[dict]:
    """Compare the variants in each tile of a contig with the mean of that contig.

    Tiles start at multiples of `tile`. Those before the first variant of a contig and after the last one are no part
    of its mean: a file may cover only a stretch of it. A position counts once, however many alleles and records it
    has.

    Args:
        vcf: A VCF file, plain or compressed, or a BCF file.
        tile: Bases of a tile.
        fdr: The q-value up to which a tile is a hotspot.
        fasta: The genome. Its tiles are then part of the rows; tiles of nothing but N are left out, and counted.

    Returns:
        A row for each tile, in the order of the file: `contig`, `start`, `end` (0-based, half-open), `variants`,
        `expected` (the mean of the contig), `p_value` (of as many variants or more, if they are Poisson distributed),
        `q_value` (Benjamini and Hochberg, J. R. Stat. Soc. B 57:289, 1995, over all tiles), `label` (`hotspot` or
        `background`) and, with a genome, `sequence`.

    Raises:
        OSError: If a file cannot be read.
        ValueError: If a file is of another format, there are no variants, or a contig or position is not in the
            genome.
    """
    places = defaultdict(set)
    with open_vcf(vcf) as records:
        for record in Progress(records, desc="Reading variants", unit="record"):
            if record.alleles:
                places[record.contig].add(record.start)
    if not places:
        raise ValueError(f"{vcf}: there are no variants in it.")
    counts = {}
    for contig, starts in places.items():
        tiles = np.fromiter(starts, int) // tile
        first = int(tiles.min())
        found = np.bincount(tiles - first)
        counts[contig] = {Interval(contig, i * tile, (i + 1) * tile): int(n) for i, n in enumerate(found, first)}
    sequences = {} if fasta is None else _read_tiles(vcf, fasta, counts)
    return _test_tiles(counts, fdr, sequences)


def _read_tiles(vcf: str | Path, fasta: str | Path, counts: dict[str, dict[Interval, int]]) -> dict[Interval, str]:
    """The bases of the tiles. Tiles without any are taken out of the counts."""
    sequences, empty = {}, 0
    with open_fasta(fasta) as genome:
        names = match_contigs(genome.references)
        for contig, tiles in counts.items():
            name = names.get(contig) or names.get(bare_contig(contig))
            if name is None:
                raise ValueError(f"{vcf}: {fasta} has no contig {printable(contig)}. Is it another assembly?")
            length = genome.get_reference_length(name)
            for place in list(tiles):
                if place.start >= length:
                    raise ValueError(
                        f"{vcf}: the contig {printable(contig)} has variants at base {place.start + 1} or after it, "
                        f"but only {length} bases in {fasta}. Is it another assembly?"
                    )
                bases = fetch(genome, name, place.start, min(place.end, length)).upper()
                if bases.strip("N") or tiles[place]:
                    sequences[place] = bases
                else:
                    empty += 1
                    del tiles[place]
    if empty:
        logger.warning(f"Left out {empty} tiles of N alone.")
    return sequences


def _test_tiles(counts: dict[str, dict[Interval, int]], fdr: float, sequences: dict[Interval, str]) -> list[dict]:
    rows = []
    for tiles in counts.values():
        expected = sum(tiles.values()) / len(tiles)
        for place, variants in tiles.items():
            end = place.start + len(sequences[place]) if sequences else place.end
            row = {"contig": place.contig, "start": place.start, "end": end, "variants": variants}
            rows.append({**row, "expected": expected, "p_value": float(poisson.sf(variants - 1, expected))})
            if sequences:
                rows[-1]["sequence"] = sequences[place]
    for row, q_value in zip(rows, false_discovery_control([row["p_value"] for row in rows])):
        row |= {"q_value": float(q_value), "label": "hotspot" if q_value <= fdr else "background"}
    return rows


__all__ = ["find_hotspots"]
