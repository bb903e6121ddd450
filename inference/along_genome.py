"""Predicting along a genome: tiles with overlap of which the centres are kept, in pieces that a killed run resumes."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from textgenome.data.sequences import GenomeSequence, Tiling
from textgenome.data.windows import Place
from textgenome.genome.intervals import Interval
from textgenome.genome.progress import Progress


OVERLAP = 8  # by default a tile reads an eighth of itself on either side of what is kept
PIECE = 1 << 19  # bases that are predicted before they are kept: what a killed run loses, and holds in memory
SETTINGS = "settings.json"

Predict = Callable[[Sequence[str]], Sequence[np.ndarray]]


def pieces_of(places: Iterable[Interval | Place], size: int = PIECE) -> list[Place]:
    """Cut places into pieces of at most so many bases, in their order."""
    pieces = []
    for contig, start, end, *_ in places:
        pieces += (Place(contig, first, min(first + size, end)) for first in range(start, end, size))
    return pieces


def split_tile(tiling: Tiling, overlap: int | None = None, resolution: int = 1) -> tuple[int, int]:
    """What becomes of the bases of a tile.

    Args:
        tiling: How much the encoder reads.
        overlap: Bases on either side that are read only, by default an eighth of a tile.
        resolution: Bases of a position that is predicted.

    Returns:
        The overlap in whole states and positions, and how many bases are kept.

    Raises:
        ValueError: If the encoder reads no more than the overlap.
    """
    unit = int(np.lcm(tiling.unit, resolution))
    overlap = tiling.most // OVERLAP if overlap is None else overlap
    overlap = -(-overlap // unit) * unit
    kept = (tiling.most - 2 * overlap) // unit * unit
    if kept < unit:
        raise ValueError(
            f"An overlap of {overlap} bases on either side leaves nothing of the {tiling.most} that a tile has: lower "
            "--overlap."
        )
    return overlap, kept


def predict_piece(
    genome,
    piece: Place,
    predict: Predict,
    tiling: Tiling,
    overlap: int | None = None,
    batch_size: int = 8,
    resolution: int = 1,
) -> np.ndarray | None:
    """Predict a piece of a contig in tiles, each of which is read with more on either side than is kept of it.

    Args:
        genome: Open genome, see `open_fasta`.
        piece: What is predicted; its start is a multiple of `resolution`.
        predict: Takes sequences in the letters A, C, G, T and N, and gives of each the values of its positions,
            `(positions, values)`.
        tiling: How much the encoder reads.
        overlap: Bases on either side of a tile that are read only, see `split_tile`. Less at the ends of a contig.
        batch_size: Sequences that are predicted at once.
        resolution: Bases of a position.

    Returns:
        `(positions, values)`, or None if there is no letter but N. Where a tile has none, values are 0.

    Raises:
        ValueError: If the encoder reads no more than the overlap.
    """
    contig, (overlap, kept) = piece.contig, split_tile(tiling, overlap, resolution)
    length = genome.get_reference_length(contig)
    found, waiting = None, []

    def flush():
        nonlocal found
        values = predict([sequence for _, _, sequence in waiting])
        for (tile, start, _), each in zip(waiting, values):
            if found is None:
                found = np.zeros((-(-(piece.end - piece.start) // resolution), each.shape[-1]), each.dtype)
            first = (tile.start - piece.start) // resolution
            skipped = (tile.start - start) // resolution
            count = -(-(tile.end - tile.start) // resolution)
            found[first : first + count] = each[skipped : skipped + count]
        waiting.clear()

    for first in range(piece.start, piece.end, kept):
        for tile, start, sequence in _fitting(
            genome, contig, length, first, min(first + kept, piece.end), overlap, tiling
        ):
            waiting.append((tile, start, sequence))
            if len(waiting) == batch_size:
                flush()
    if waiting:
        flush()
    return found


def _fitting(
    genome, contig: str, length: int, start: int, end: int, overlap: int, tiling: Tiling
) -> Iterator[tuple[Interval, int, str]]:
    """What is kept of a tile, where reading it starts, and its letters; in halves where N makes too many tokens."""
    first = start - min(overlap, start // tiling.unit * tiling.unit)  # whole states, also near the start of the contig
    sequence = GenomeSequence(genome, Interval(contig, first, min(length, end + overlap)))[:]
    if not sequence[start - first : end - first].strip("N"):
        return
    if end - start > tiling.unit and not tiling.fits(sequence):
        middle = start + max(1, (end - start) // (2 * tiling.unit)) * tiling.unit
        yield from _fitting(genome, contig, length, start, middle, overlap, tiling)
        yield from _fitting(genome, contig, length, middle, end, overlap, tiling)
    else:
        yield Interval(contig, start, end), first, sequence


class KeptPieces:
    """Predictions of pieces, each in a file of its own, so that a killed run goes on and processes share the work.

    Args:
        folder: Where they are kept.
        pieces: All of them, in their order.
        settings: What the predictions depend on. A folder with others is refused.

    Raises:
        ValueError: If the folder holds predictions of other settings.
    """

    def __init__(self, folder: str | Path, pieces: Sequence[Place], settings: Mapping):
        self.folder, self.pieces = Path(folder), list(pieces)
        digest = hashlib.sha256(json.dumps([tuple(piece) for piece in pieces]).encode()).hexdigest()
        text = json.dumps({**settings, "pieces": digest}, sort_keys=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / SETTINGS
        if path.exists() and path.read_text() != text:
            raise ValueError(f"{self.folder} holds predictions of other settings. Remove it, or name another output.")
        _write(path, lambda unfinished: unfinished.write_text(text))

    def path(self, number: int) -> Path:
        return self.folder / f"{number:06d}.safetensors"

    def predict(
        self, predict_piece: Callable[[Place], np.ndarray | None], process: int = 0, processes: int = 1
    ) -> int:
        """Predict the pieces that this process has to and that are not there. Returns of how many bases."""
        share = range(process, len(self.pieces), processes)
        missing = [number for number in share if not self.path(number).exists()]
        bases = 0
        total = sum(_size(self.pieces[i]) for i in missing)
        with Progress(total=total, desc="Predicting", unit="base", unit_scale=True) as bar:
            for number in missing:
                values = predict_piece(self.pieces[number])
                arrays = {} if values is None else {"values": np.ascontiguousarray(values)}
                _write(self.path(number), lambda unfinished, arrays=arrays: save_file(arrays, unfinished))
                bases += _size(self.pieces[number])
                bar.update(_size(self.pieces[number]))
        return bases

    def __getitem__(self, number: int) -> np.ndarray | None:
        """The values of a piece, None where there is no letter but N."""
        return load_file(self.path(number)).get("values")


def _size(piece: Place) -> int:
    return piece.end - piece.start


def _write(path: Path, write: Callable[[Path], object]) -> None:
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    write(unfinished)
    os.replace(unfinished, path)


__all__ = ["PIECE", "KeptPieces", "Predict", "pieces_of", "predict_piece", "split_tile"]
