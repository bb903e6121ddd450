"""What a model of tracks predicts along a genome, as bigWig or bedGraph files."""

import gzip
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np

from textgenome.configuration.configuration_textgenome import bases_per_state
from textgenome.data.sequences import Tiling
from textgenome.data.windows import Place, read_places
from textgenome.genome.bigwig import BigWigWriter
from textgenome.genome.fasta import open_fasta
from textgenome.inference.along_genome import PIECE, KeptPieces, pieces_of, predict_piece, split_tile
from textgenome.inference.checkpoints import Checkpoint, fingerprint_weights
from textgenome.inference.predictions import join_processes, one_writer
from textgenome.inference.requests import Request
from textgenome.inference.tracks import predict_tracks


BIGWIG, BEDGRAPH = (".bw", ".bigwig"), (".bedgraph", ".bedgraph.gz")
MOST_TRACKS = 500  # files that are written at once
BASES_AT_ONCE = 1 << 18  # of a batch, whatever its size


def predict_signals(checkpoint: Checkpoint, request: Request) -> int | None:
    """Write the tracks of a genome or of regions of it. See `predict`.

    Returns:
        How many bins were predicted, on the main process.

    Raises:
        ValueError: If the output is of another format, or there is not a FASTA file.
    """
    suffix = find_suffix(request)
    chosen = choose_tracks(checkpoint, request.tracks)
    state = join_processes()
    with state.main_process_first():  # it may have to write the index of the genome
        genome = open_fasta(request.fasta)
    contigs = dict(zip(genome.references, genome.lengths))
    places = merge(read_places(request.bed, contigs), contigs) if request.bed else whole(contigs)
    resolution, window = checkpoint.config.track_resolution, checkpoint.processor.dna_window
    unit = int(np.lcm(bases_per_state(checkpoint.config.dna_config), resolution))
    tiling = Tiling(checkpoint.processor.dna_tokenizer, unit, max(window // unit * unit, unit))
    overlap, _ = split_tile(tiling, request.overlap, resolution)
    pieces = pieces_of(places, PIECE // unit * unit)
    settings = {
        "model": checkpoint.name,
        "revision": checkpoint.revision,
        "weights": fingerprint_weights(checkpoint.name),
        "genome": [str(request.fasta), sum(contigs.values())],
        "tracks": chosen,
        "overlap": overlap,
        "average_strands": request.average_strands,
        "dtype": request.dtype,
    }
    with one_writer(request.folder):
        kept = KeptPieces(request.folder, pieces, settings)
        model = checkpoint.load(request.dtype).to(state.device)
        batch_size = max(1, min(request.batch_size, BASES_AT_ONCE // tiling.most))

        def predict(sequences: Sequence[str]) -> list[np.ndarray]:
            found = predict_tracks(model, checkpoint.processor, sequences, request.average_strands)
            return [each[:, chosen] for each in found]

        one = partial(
            predict_piece,
            genome,
            predict=predict,
            tiling=tiling,
            overlap=overlap,
            batch_size=batch_size,
            resolution=resolution,
        )
        kept.predict(one, state.process_index, state.num_processes)
        state.wait_for_everyone()
        if not state.is_main_process:
            return None
        names = [checkpoint.config.id2label[number] for number in chosen]
        count = write_signals(request.output, suffix, names, contigs, kept, resolution)
    shutil.rmtree(request.folder)
    return count


def find_suffix(request: Request) -> str:
    """The ending of the output. Raises ValueError if it is none of signals, or sequences are not of a FASTA file."""
    name = request.output.name.lower()
    suffix = next((each for each in (*BIGWIG, *BEDGRAPH) if name.endswith(each)), None)
    if suffix is None:
        raise ValueError(
            f"{request.output}: a model of tracks writes {', '.join((*BIGWIG, *BEDGRAPH))}: choose one as the ending."
        )
    if request.fasta is None or request.vcf is not None or request.dataset_name is not None:
        raise ValueError("A model of tracks predicts along a genome: name it by --fasta, and regions of it by --bed.")
    return suffix


def choose_tracks(checkpoint: Checkpoint, names: Sequence[str] | None) -> list[int]:
    """The numbers of the tracks of these names, or of all.

    Raises:
        ValueError: If there is no track of a name, or there are too many to write.
    """
    known = {name: number for number, name in checkpoint.config.id2label.items()}
    unknown = [name for name in names or () if name not in known]
    if unknown:
        some = ", ".join([*known][:5])
        raise ValueError(f"{checkpoint.name} has no track {', '.join(unknown)}. Its {len(known)} begin with {some}.")
    chosen = [known[name] for name in names] if names else sorted(known.values())
    if len(chosen) > MOST_TRACKS:
        raise ValueError(f"{checkpoint.name} has {len(chosen)} tracks: choose at most {MOST_TRACKS} by --tracks.")
    return chosen


def whole(contigs: dict[str, int]) -> list[Place]:
    return [Place(name, 0, length) for name, length in contigs.items()]


def merge(places: Sequence[Place], contigs: dict[str, int]) -> list[Place]:
    """Regions in the order of the genome, on its contigs; those that share bases are one."""
    order, merged = {name: number for number, name in enumerate(contigs)}, []
    for contig, start, end, _ in sorted(places, key=lambda place: (order[place.contig], place.start)):
        start, end = max(start, 0), min(end, contigs[contig])
        if merged and merged[-1].contig == contig and start < merged[-1].end:
            merged[-1] = merged[-1]._replace(end=max(end, merged[-1].end))
        else:
            merged.append(Place(contig, start, end))
    return merged


def output_paths(output: Path, suffix: str, names: Sequence[str]) -> list[Path]:
    """The output itself for one track; for several a file each, with the name of the track before the ending."""
    if len(names) == 1:
        return [output]
    stem, safe = output.name[: -len(suffix)], [re.sub(r"[^\w.+-]", "_", name) for name in names]
    return [output.with_name(f"{stem}.{name}{suffix}") for name in safe]


def write_signals(
    output: Path, suffix: str, names: Sequence[str], contigs: dict[str, int], kept: KeptPieces, resolution: int
) -> int:
    """Write a file for each track. Where the genome has no letter but N nothing is written."""
    output.parent.mkdir(parents=True, exist_ok=True)
    paths, count = output_paths(output, suffix, names), 0
    with ExitStack() as stack:
        if suffix in BIGWIG:
            writers = [stack.enter_context(BigWigWriter(path, contigs, resolution)) for path in paths]
        else:
            writers = [stack.enter_context(BedGraphWriter(path, resolution)) for path in paths]
        for number, piece in enumerate(kept.pieces):
            values = kept[number]
            if values is None:
                continue
            count += len(values)
            for writer, column in zip(writers, values.T):
                writer.write(piece.contig, piece.start, column, piece.end)
    return count


class BedGraphWriter:
    """Writes a bedGraph file, plain or compressed: a line for each run of bins of one value.

    Args:
        path: The file.
        step: Bases of a bin.
    """

    def __init__(self, path: Path, step: int):
        self.path, self.step = path, step

    def __enter__(self) -> "BedGraphWriter":
        opener = gzip.open if self.path.name.endswith(".gz") else open
        self._file = opener(self.path, "wt", encoding="utf-8")
        return self

    def __exit__(self, *_) -> None:
        self._file.close()

    def write(self, contig: str, start: int, values: np.ndarray, end: int) -> None:
        """Add bins from the base `start` on, the last one of which ends at `end`."""
        self._file.writelines(self._lines(contig, start, values, end))

    def _lines(self, contig: str, start: int, values: np.ndarray, end: int) -> Iterator[str]:
        changes = np.flatnonzero(np.diff(values, prepend=np.nan)).tolist()
        for first, after in zip(changes, [*changes[1:], len(values)]):
            last = min(start + after * self.step, end)
            yield f"{contig}\t{start + first * self.step}\t{last}\t{values[first]:.6g}\n"


__all__ = ["predict_signals"]
