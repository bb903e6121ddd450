"""Signals of places along a genome, read from bigWig files where a row is used, and batches of them."""

import os
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from transformers import BatchFeature

from textgenome.data.sequences import GenomeSequence
from textgenome.data.windows import Place, PlaceRows
from textgenome.genome.bigwig import BigWig, Track
from textgenome.genome.intervals import printable
from textgenome.processing.processing_textgenome_dna import TextGenomeDNAProcessor


class SignalReader:
    """Reads the mean signal of the bins of a place. Each process opens the files for itself.

    Args:
        tracks: The signals.
        resolution: Bases of a bin.
        partners: For each track which one takes its place on the strand `-`, by default itself.
        uncovered: What bases are that a file has no value for: `zero`, or `nan` for unknown.
        non_negative: Refuse a signal that is negative anywhere.
    """

    def __init__(
        self,
        tracks: Sequence[Track],
        resolution: int = 1,
        partners: Sequence[int] | None = None,
        uncovered: str = "zero",
        non_negative: bool = True,
    ):
        self.tracks, self.resolution, self.uncovered = list(tracks), resolution, uncovered
        self.partners = list(range(len(self.tracks)) if partners is None else partners)
        self.non_negative = non_negative
        self._opened: tuple[int, list[BigWig]] | None = None

    def __call__(self, place: Place, known: Place | None = None) -> np.ndarray:
        """The signals in the direction of the strand of a place.

        Args:
            place: On its contig, which may reach over the ends.
            known: Where signals are known; by default on all of the contig.

        Returns:
            `(bins, tracks)`, float32, the mean over the bases of each bin that are known, NaN if none is. The last
            bin has fewer bases if the place ends in it.

        Raises:
            ValueError: If a file has not the contig, or a signal is negative where it must not be; the message names
                track and place.
        """
        known = known or place
        bases = np.full((len(self.tracks), place.end - place.start), np.nan, dtype=np.float32)
        for row, track, file in zip(bases, self.tracks, self.files):
            length = file.contigs[file.find_contig(place.contig)]
            start, end = max(place.start, known.start, 0), min(place.end, known.end, length)
            if start >= end:
                continue
            values = file.read(place.contig, start, end)
            if self.non_negative and np.nanmin(values, initial=0) < 0:
                self._refuse_negative(track, place.contig, start, values)
            row[start - place.start : end - place.start] = values
        if place.strand == "-":
            bases = bases[self.partners, ::-1]
        return self._means(bases)

    def check_contigs(self, places: Sequence[Place]) -> None:
        """Raise ValueError if a file has not the contig of a place."""
        for contig in dict.fromkeys(place.contig for place in places):
            for file in self.files:
                file.find_contig(contig)

    def _refuse_negative(self, track: Track, contig: str, start: int, values: np.ndarray) -> None:
        first = int(np.flatnonzero(values < 0)[0])
        raise ValueError(
            f"{track.path}: the track {printable(track.name)} is {values[first]:g} at {printable(contig)}:"
            f"{start + first + 1}, but signals must not be negative. Leave the track out, or split it by its sign."
        )

    def _means(self, bases: np.ndarray) -> np.ndarray:
        tracks, length = bases.shape
        if length % self.resolution:
            missing = self.resolution - length % self.resolution
            bases = np.concatenate([bases, np.full((tracks, missing), np.nan, dtype=np.float32)], axis=1)
        bins = bases.reshape(tracks, -1, self.resolution)
        unknown = np.isnan(bins)
        if not unknown.any():
            return np.ascontiguousarray(bins.mean(-1).T)
        counts = (~unknown).sum(-1)
        with np.errstate(invalid="ignore"):
            means = np.where(unknown, 0, bins).sum(-1) / counts
        return np.ascontiguousarray(means.T.astype(np.float32))

    @property
    def files(self) -> list[BigWig]:
        """Open in this process: an open file that was inherited would share its place with others."""
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = os.getpid(), [BigWig(track.path, self.uncovered) for track in self.tracks]
        return self._opened[1]

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_opened": None}


class AugmentedRows(PlaceRows):
    """Rows of places with signals, each shifted and turned at random, in another way in each epoch.

    Args:
        places: The rows.
        fasta: The genome.
        signals: Reads them.
        turn: Whether half of the rows are the reverse complement.
        shift: Most bases by which a row is moved, in either direction. What it reads then outside of its place is DNA
            only: signals are not known there.
        seed: Of the draws, which depend on it, the epoch and the row only.
    """

    def __init__(self, places: Sequence[Place], fasta: str, signals: SignalReader, turn: bool, shift: int, seed: int):
        super().__init__(places, fasta)
        self.signals, self.turn, self.shift, self.seed, self.epoch = signals, turn, shift, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Draw anew. The trainer calls it."""
        self.epoch = epoch

    def __getitem__(self, index: int) -> dict:
        """A row as that of `PlaceRows`, with `labels`."""
        index = range(len(self))[index]
        place, rng = self.places[index], np.random.default_rng((self.seed, self.epoch, index))
        moved = int(rng.integers(-self.shift, self.shift + 1))
        strand = "+-"[int(self.turn and rng.random() < 0.5) ^ (place.strand == "-")]
        read = Place(place.contig, place.start + moved, place.end + moved, strand)
        sequence = GenomeSequence(self.genome, read.interval, strand)[:]
        return {"place": read, "sequence": sequence, "labels": self.signals(read, known=place)}


class TrackCollator:
    """Makes a batch of rows with `sequence` and `labels`."""

    def __init__(self, processor: TextGenomeDNAProcessor):
        self.processor = processor

    def __call__(self, rows: Sequence[Mapping]) -> BatchFeature:
        """Collate rows.

        Returns:
            What the processor makes of the sequences, and `labels` of shape `(batch, bins, tracks)`, float32, NaN
            after the last bin of a row.
        """
        batch = self.processor([row["sequence"] for row in rows], return_tensors="pt")
        labels = [torch.from_numpy(row["labels"]) for row in rows]
        batch["labels"] = torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=float("nan"))
        return batch


def some_signals(reader: SignalReader, places: Sequence[Place], most: int = 1000) -> Iterator[np.ndarray]:
    """The signals of all places or, if there are more, of `most`, evenly: `(bins, tracks)` each."""
    for number in sorted({*np.linspace(0, len(places) - 1, min(most, len(places))).round().astype(int).tolist()}):
        yield reader(places[number])


def mean_signals(reader: SignalReader, places: Sequence[Place]) -> list[float]:
    """The mean of each track over the bins in which it is not 0, which signals are scaled by.

    Args:
        reader: Of the signals.
        places: Where to read, see `some_signals`.

    Raises:
        ValueError: If a track is 0 in all of them; the message names it.
    """
    sums, counts = np.zeros(len(reader.tracks)), np.zeros(len(reader.tracks))
    for signal in some_signals(reader, places):
        signal = signal.astype(np.float64)
        sums += np.nansum(signal, axis=0)
        counts += (signal > 0).sum(axis=0)
    empty = [printable(track.name) for track, count in zip(reader.tracks, counts) if not count]
    if empty:
        raise ValueError(f"{', '.join(empty)}: there is no signal in the regions to train on. Leave the track out.")
    return (sums / counts).tolist()


__all__ = ["AugmentedRows", "SignalReader", "TrackCollator", "mean_signals", "some_signals"]
