"""Windows along a genome as rows of places: tiles of contigs or of regions, and splits that share no base."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from transformers.utils import logging

from textgenome.data.sequences import GenomeSequence
from textgenome.genome.bed import Region, read_bed
from textgenome.genome.fasta import open_fasta
from textgenome.genome.gtf import Annotation
from textgenome.genome.intervals import Interval, bare_contig, match_contigs, printable


logger = logging.get_logger(__name__)

UNKNOWN = -100  # the label of a base that no loss is computed of
_N = ord("N")
_LETTERS_AT_ONCE = 1 << 20


class Place(NamedTuple):
    """A window, 0-based and half-open. On the strand `-` its reverse complement is read."""

    contig: str
    start: int
    end: int
    strand: str = "+"

    @property
    def interval(self) -> Interval:
        return Interval(self.contig, self.start, self.end)

    def __str__(self) -> str:
        return f"{printable(self.contig)}:{self.start + 1}-{self.end}"


def tile(places: Iterable[Interval | Place], window: int, stride: int | None = None) -> list[Place]:
    """Cut places into windows. The last one of each ends with it, and is shorter if the place is.

    Args:
        places: Contigs, regions or parts of them.
        window: Bases of a window.
        stride: Bases from the start of one to that of the next, by default `window`: they share no base.

    Raises:
        ValueError: If `stride` is longer than `window`, or one of them is not positive.
    """
    stride = window if stride is None else stride
    if not 0 < stride <= window:
        raise ValueError(f"The stride must be from 1 to the window of {window} bases, got {stride}.")
    tiles = []
    for place in places:
        contig, start, end, strand = Place(*place)
        starts = range(start, max(start + 1, end - window + stride), stride)
        tiles += (Place(contig, each, min(each + window, end), strand) for each in starts)
    return tiles


def on_both_strands(places: Iterable[Place]) -> list[Place]:
    """Each place on the strand `+` and then on `-`."""
    return [Place(*place[:3], strand) for place in places for strand in "+-"]


def split_blocks(
    contigs: Mapping[str, int], share: float, blocks: int = 10, window: int = 1
) -> tuple[list[Place], list[Place]]:
    """Split a genome into what to train on and what to hold out, by blocks of neighbouring bases.

    The contigs, in their order, are cut into `blocks` stretches of about equal length; every so many is held out. A
    contig that is shorter than a block is in one of them as a whole.

    Args:
        contigs: Bases of each contig.
        share: How much to hold out: at least one block, and not all of them.
        blocks: Number of stretches.
        window: Blocks start at multiples of it, so that tiles are whole.

    Returns:
        The places to train on, and those that are held out.

    Raises:
        ValueError: If one of them would be empty.
    """
    if not 0 < share < 1:
        raise ValueError(f"The share of a split must be between 0 and 1, got {share}.")
    size = -(-sum(contigs.values()) // blocks)
    count = min(max(1, round(share * blocks)), blocks - 1)
    held_out = {(2 * i + 1) * blocks // (2 * count) for i in range(count)}  # evenly, and not the first one
    parts: tuple[list[Place], list[Place]] = ([], [])
    before = 0
    for contig, length in contigs.items():
        step = max(1, size // window) * window
        cuts = range(0, length, step) if length > size else [0]
        for start in cuts:
            end = min(start + step, length) if length > size else length
            block = min((before + (start + end) // 2) // size, blocks - 1)
            parts[block in held_out].append(Place(contig, start, end))
        before += length
    if not (parts[0] and parts[1]):
        raise ValueError(f"The genome cannot be split into {blocks} blocks: name contigs or regions to hold out.")
    return parts


def split_contigs(contigs: Mapping[str, int], test: Sequence[str]) -> tuple[list[Place], list[Place]]:
    """The contigs to train on, and those that are held out.

    Raises:
        ValueError: If a contig is unknown, or none is left.
    """
    known = match_contigs(tuple(contigs))
    names = {name: known.get(name, known.get(bare_contig(name))) for name in test}
    missing = [name for name, found in names.items() if found is None]
    if missing:
        some = ", ".join(list(contigs)[:5])
        raise ValueError(f"The genome has no contig {', '.join(missing)}; it starts with {some}.")
    parts: tuple[list[Place], list[Place]] = ([], [])
    for contig, length in contigs.items():
        parts[contig in names.values()].append(Place(contig, 0, length))
    if not parts[0]:
        raise ValueError("All contigs are held out: there is none left to train on.")
    return parts


def read_places(bed: str | Path, contigs: Mapping[str, int]) -> list[Place]:
    """The regions of a BED file as places of a genome. Those over an end of their contig are counted, and logged.

    Raises:
        ValueError: If the genome has not the contig of a region, or no base of it; the message gives the line.
    """
    known, over, places = match_contigs(tuple(contigs)), Counter(), []
    for region in read_bed(bed):
        contig = known.get(region.contig, known.get(bare_contig(region.contig)))
        if contig is None or region.start >= contigs[contig] or region.end <= 0:
            what = "the genome has no such contig" if contig is None else f"the contig has {contigs[contig]} bases"
            raise ValueError(f"{bed}, line {region.line}: {_name(region)}: {what}. Is that another assembly?")
        missing = max(0, -region.start) + max(0, region.end - contigs[contig])
        over.update(regions=bool(missing), bases=missing)
        places.append(Place(contig, region.start, region.end, region.strand))
    if over["regions"]:
        logger.warning(
            f"{bed}: {over['regions']} regions reach over an end of their contig: {over['bases']} bases are N."
        )
    return places


def _name(region: Region) -> str:
    return printable(f"{region.contig}:{region.start + 1}-{region.end}")


def check_apart(train: Iterable[Place], test: Iterable[Place]) -> None:
    """Refuse a split of which both parts hold a base.

    Raises:
        ValueError: If a window to train on and one to evaluate on overlap. The message names both, and the reason.
    """
    ends: dict[str, list[tuple[int, int, bool]]] = {}
    for held_out, places in enumerate((train, test)):
        for place in places:
            ends.setdefault(place.contig, []).append((place.start, place.end, bool(held_out)))
    for contig, intervals in ends.items():
        last: dict[bool, tuple[int, int]] = {}
        for start, end, held_out in sorted(intervals):
            other = last.get(not held_out, (0, start))
            if other[1] > start:
                pair = [str(Place(contig, *each)) for each in ((start, end), other)]
                test_place, train_place = pair if held_out else pair[::-1]
                raise ValueError(
                    f"{test_place} is to be evaluated on, but shares bases with {train_place}, which is trained on: "
                    "a model that remembers them would score well. Split by contigs, by blocks or by BED files that "
                    "do not overlap, never windows that overlap at random."
                )
            if end > last.get(held_out, (0, 0))[1]:
                last[held_out] = (start, end)


def with_letters(places: Sequence[Place], genome) -> list[Place]:
    """The places that have a base other than N; how many have none is logged."""
    kept = [place for place in places if _has_letters(GenomeSequence(genome, place.interval))]
    if len(kept) < len(places):
        logger.warning(f"{len(places) - len(kept)} of {len(places)} windows hold no base but N, and are left out.")
    return kept


def _has_letters(sequence: GenomeSequence) -> bool:
    pieces = range(0, len(sequence), _LETTERS_AT_ONCE)
    return any(sequence[start : start + _LETTERS_AT_ONCE].strip("N") for start in pieces)


class LabelReader:
    """Labels of the bases of a place: which features cover them.

    Args:
        annotations: Of the genome.
        contigs: The contigs of the genome.
        labels: Types of features. A label of several annotations is where one of them has it.
        stranded: Whether features count on their own strand only. Otherwise those of both strands are labels.

    Raises:
        ValueError: If a label is not a type of any annotation, or a contig has no sequence.
    """

    def __init__(
        self, annotations: Sequence[Annotation], contigs: Sequence[str], labels: Sequence[str], stranded: bool = True
    ):
        types = Counter()
        for annotation in annotations:
            types.update(annotation.types)
        for label in labels:
            if label not in types:
                found = ", ".join(f"{kind} ({count})" for kind, count in types.most_common(12))
                raise ValueError(f"No feature has the type {label!r}. There are {found}.")
        self.annotations = [(annotation, annotation.named_as(contigs)) for annotation in annotations]
        self.labels, self.stranded = list(labels), stranded

    def __call__(self, place: Place) -> np.ndarray:
        """`(bases, labels)`, int8, 0 or 1, in the direction of the strand of the place."""
        found = np.zeros((place.end - place.start, len(self.labels)), np.uint8)
        strand = place.strand if self.stranded else None
        for annotation, names in self.annotations:
            if place.contig in names:
                found |= annotation.labels(names[place.contig], place.start, place.end, self.labels, strand)
        return (found if place.strand == "+" else found[::-1]).astype(np.int8)


class PlaceRows:
    """A data set of places, the letters and labels of which are read when a row is used, in the process that uses it.

    Args:
        places: The rows.
        fasta: The genome. Each process opens it for itself.
        readers: What else is in a row, by its name: a function of the place, in the direction of its strand.
    """

    def __init__(
        self, places: Sequence[Place], fasta: str | Path, readers: Mapping[str, Callable[[Place], np.ndarray]] = {}
    ):
        self.places, self.fasta, self.readers = list(places), fasta, dict(readers)
        self._opened: tuple[int, object] | None = None

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> dict:
        """A row: the place, its letters A, C, G, T and N as `sequence`, and what the readers give."""
        place = self.places[index]
        sequence = GenomeSequence(self.genome, place.interval, place.strand)[:]
        return {"place": place, "sequence": sequence} | {name: read(place) for name, read in self.readers.items()}

    @property
    def genome(self):
        """The genome, open in this process: an open file that was inherited would share its place with others."""
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = os.getpid(), open_fasta(self.fasta)
        return self._opened[1]

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_opened": None}


def hide_unknown(labels: np.ndarray, sequence: str) -> np.ndarray:
    """Labels with -100 where the genome has no letter, or the window is over the end of its contig."""
    unknown = np.frombuffer(sequence.encode(), np.uint8) == _N
    labels = labels.copy()
    labels[unknown] = UNKNOWN
    return labels


__all__ = [
    "UNKNOWN",
    "LabelReader",
    "Place",
    "PlaceRows",
    "check_apart",
    "hide_unknown",
    "on_both_strands",
    "read_places",
    "split_blocks",
    "split_contigs",
    "tile",
    "with_letters",
]
