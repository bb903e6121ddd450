"""Embedding the sequences of files into a file: batch by batch, so that a run that was stopped goes on."""

import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

import torch
from accelerate import PartialState
from transformers.utils import logging

from textgenome.configuration.configuration_textgenome import bases_per_state
from textgenome.data.sequences import Tiling, read_sequences
from textgenome.data.settings import find_changes, remember_settings
from textgenome.data.tiles import Tile, Work, share_of, survey
from textgenome.genome.progress import Progress
from textgenome.inference.checkpoints import fingerprint_files, fingerprint_weights, without_path
from textgenome.inference.embedding import BATCH_BASES, batches, check_pooling, embed_batch, join_tiles
from textgenome.inference.embedding_files import (
    PLACE,
    SUFFIX,
    TILE,
    EmbeddingsWriter,
    read_pieces,
    settings_of,
    write_piece,
)
from textgenome.inference.encoders import EncoderCheckpoint, encoding_mode, open_encoder
from textgenome.inference.feature_cache import FeatureCache
from textgenome.inference.predictions import join_processes, one_writer
from textgenome.modeling_textgenome_dna import TextGenomeDNAModel
from textgenome.processing.processing_dna import DNA_WINDOW


logger = logging.get_logger(__name__)

JOB = "embedding"
CHUNK_BATCHES = 16  # tiles of about so many batches are sorted by length, so that there is little padding


def embed_file(
    model: str,
    output: str | Path,
    shard: tuple[int, int] = (1, 1),
    cache_dir: str | Path | None = None,
    cache_gb: float = 100,
    **options,
) -> tuple[Path, int]:
    """Embed the sequences of files into a Parquet file or a folder of safetensors files.

    The same call goes on with a run that was stopped: what was written is not encoded again, and the output is the
    same as that of a run that was not stopped. Processes under `accelerate launch` share the batches.

    Args:
        model: Folder or Hub id, see `open_encoder`.
        output: A new file (`.parquet`) or folder. Until it is whole there is a folder beside it, `OUTPUT.unfinished`.
        shard: `(i, n)`: the i-th of n shares of the sequences, from 1; the output has `-0000i-of-0000n` in its name.
        cache_dir: Folder for the states of distinct sequences, see `FeatureCache`. Without one, equal sequences are
            encoded once a batch.
        cache_gb: Most GB of files in it.
        options: See `plan_run`.

    Returns:
        The file or folder, and how many sequences are in it; a variant is two.

    Raises:
        KeyboardInterrupt: If the run was asked to stop, by Ctrl + C or SIGTERM; the batch that ran was written.
        OSError: If a file cannot be read or written, or another process writes to `output`.
        ValueError: If a source is malformed, the encoder has no such features, or `output` holds another run.
    """
    place = output_place(Path(output), shard)
    state = join_processes()
    run = plan_run(model, place, shard, **options)
    number = run.work.last - run.work.first
    finished = settings_of(place)
    if finished is not None:
        find_changes(run.settings, finished, place)
        logger.warning(f"{place} is finished already.")
        if state.is_main_process:
            shutil.rmtree(run.unfinished, ignore_errors=True)  # of a start that was killed at its very end
        return place, number
    with one_writer(run.unfinished):
        if state.is_main_process:
            remember_settings(run.settings, run.unfinished, JOB)
        state.wait_for_everyone()
        encoder = run.checkpoint.load(run.settings["dtype"], **run.settings["features"]).to(state.device)
        with feature_cache(encoder, cache_dir, cache_gb):
            run.encode(encoder)
        state.wait_for_everyone()
        if state.is_main_process:
            run.write(run.unfinished / place.name)
            (run.unfinished / place.name).rename(place)
    if state.is_main_process:
        shutil.rmtree(run.unfinished)
    return place, number


def plan_run(
    model: str,
    place: Path,
    shard: tuple[int, int],
    pooling: str = "mean",
    features: dict | None = None,
    window: int | None = None,
    tile: int | None = None,
    batch_bases: int = BATCH_BASES,
    revision: str = "main",
    dtype: str = "auto",
    **sources,
) -> "Run":
    """Check all there is to embed, before any weights are loaded.

    Args:
        model: See `embed_file`.
        place: Of the output.
        shard: See `embed_file`.
        pooling: See `embed`. Without pooling each row is a tile, with `tile_start`, `tile_end`, `states` and `spans`.
        features: `dna_feature_layer`, `dna_feature_module`, `both_strands`; by default as in the model.
        window: Most bases of the windows of a pair, by default `DNA_WINDOW` or what the encoder reads.
        tile: See `embed`.
        batch_bases: See `embed`.
        revision: Of a model on the Hub.
        dtype: Data type of the weights.
        sources: See `read_sequences`.
    """
    check_pooling(pooling)
    checkpoint = open_encoder(model, revision)
    tiling = Tiling(checkpoint.dna_tokenizer, bases_per_state(checkpoint.dna_config), tile)
    read = partial(read_sequences, **sources, window=window or min(DNA_WINDOW, tiling.most))
    if sources.get("dataset_name"):
        read = partial(list, list(read()))
    with PartialState().main_process_first():  # it may have to write the index of the genome
        found = survey(read())
    first, last = share_of(found.units, shard)
    fasta = sources.get("fasta")
    settings = {
        "job": JOB,
        "model": without_path(checkpoint.name),
        "revision": checkpoint.revision,
        "weights": fingerprint_weights(checkpoint.name),
        "data_fingerprint": found.fingerprint,
        "fasta_fingerprint": fingerprint_files([Path(fasta)]) if fasta else None,
        "pooling": pooling,
        "features": {name: value for name, value in (features or {}).items() if value is not None},
        "tile": tiling.most,
        "batch_bases": batch_bases,
        "chunk_bases": batch_bases * (1 if pooling == "none" else CHUNK_BATCHES),
        "dtype": dtype,
        "shard": list(shard),
    }
    work = Work(read, tiling, first, last, settings["chunk_bases"])
    return Run(checkpoint, work, place, settings, round(found.bases * (last - first) / found.units))


@dataclass(frozen=True)
class Run:
    """What is to be embedded, by what, and where to.

    Args:
        checkpoint: The encoder.
        work: The sequences, as tiles.
        place: Of the output.
        settings: All that the output depends on.
        bases: How many there are, of a share about.
    """

    checkpoint: EncoderCheckpoint
    work: Work
    place: Path
    settings: dict
    bases: int

    @property
    def unfinished(self) -> Path:
        """Where what is written for each batch waits until the output is whole."""
        return self.place.with_name(f"{self.place.name}.unfinished")

    def pieces(self, number: int, chunk: list[Tile]) -> Iterator[tuple[Path, list[int]]]:
        """Of each batch of a chunk, the file that it goes into, and the places of its tiles in the chunk."""
        lengths = [tile.end - tile.start for tile in chunk]
        for i, batch in enumerate(batches(lengths, self.settings["batch_bases"])):
            yield self.unfinished / f"{number:08d}-{i:04d}.parquet", batch

    def encode(self, encoder: TextGenomeDNAModel) -> None:
        """Encode what falls to this process and is not written yet, and write a file for each batch."""
        state, dna_tokenizer = PartialState(), self.checkpoint.dna_tokenizer
        name = "Embedding" if state.num_processes == 1 else f"Embedding, process 1 of {state.num_processes}"
        options = {"unit": "base", "unit_scale": True, "disable": not state.is_main_process}
        with (
            encoding_mode(encoder),
            stop_between_batches() as stop_if_asked,
            Progress(total=self.bases // state.num_processes, desc=name, **options) as progress,
        ):
            for number, chunk in enumerate(self.work.chunks()):
                if number % state.num_processes != state.process_index:
                    continue
                for path, batch in self.pieces(number, chunk):
                    size = sum(chunk[i].end - chunk[i].start for i in batch)
                    if not path.exists():
                        letters = [chunk[i].letters for i in batch]
                        write_piece(
                            path, batch, embed_batch(encoder, dna_tokenizer, letters, self.settings["pooling"])
                        )
                        stop_if_asked()
                    elif not progress.disable:
                        progress.initial += size  # of an earlier start: no part of the speed
                    progress.update(size)

    def tiles(self) -> Iterator[tuple[Tile, torch.Tensor, torch.Tensor | None]]:
        """Each tile, what it was encoded to, and the bases of its states if all of them were kept."""
        for number, chunk in enumerate(self.work.chunks()):
            encoded = read_pieces([path for path, _ in self.pieces(number, chunk)])
            for tile, (value, spans) in zip(chunk, encoded, strict=True):
                yield tile, value, spans

    def write(self, place: Path) -> None:
        """Join what was written for each batch: the tiles of a sequence are pooled together."""
        pooling = self.settings["pooling"]
        if place.is_dir():
            shutil.rmtree(place)  # of a start that was killed here
        writer = EmbeddingsWriter(place, self.settings, PLACE | TILE if pooling == "none" else PLACE)
        sequences = groupby(self.tiles(), key=lambda each: each[0].unit)
        total = self.work.last - self.work.first
        for unit, tiles in Progress(sequences, total=total, desc="Writing", unit="row"):
            if pooling == "none":
                for tile, states, spans in tiles:
                    writer.add({**unit.columns, "tile_start": tile.start, "tile_end": tile.end}, states, spans)
            else:
                values = ((value, tile.end - tile.start) for tile, value, _ in tiles)
                writer.add(unit.columns, join_tiles(values, pooling), None)
        writer.close()


def output_place(output: Path, shard: tuple[int, int] = (1, 1)) -> Path:
    """The file or folder of a share of the output.

    Raises:
        ValueError: If it has a suffix that no output has.
    """
    if output.suffix not in (SUFFIX, ""):
        raise ValueError(f"{output}: name a file that ends with {SUFFIX}, or a folder for safetensors files.")
    if shard == (1, 1):
        return output
    return output.with_name(f"{output.stem}-{shard[0]:05d}-of-{shard[1]:05d}{output.suffix}")


@contextmanager
def feature_cache(encoder: TextGenomeDNAModel, folder: str | Path | None, gigabytes: float) -> Iterator[None]:
    """Let a cache of states replace an encoder, if there is a folder for it."""
    if folder is None:
        yield
        return
    cache = FeatureCache(encoder, folder, gigabytes * 1e9)
    encoder.encode_dna = cache.encode_dna
    try:
        yield
    finally:
        del encoder.encode_dna
        cache.write()
        logger.warning(f"{cache.num_encoded:,} tiles encoded, {cache.num_read:,} read from {folder}.")


@contextmanager
def stop_between_batches() -> Iterator[Callable[[], None]]:
    """Let Ctrl + C and SIGTERM end a run only where it asks: by the function that is given, which then raises
    `KeyboardInterrupt`. A second one ends it at once."""
    asked = []

    def ask(number: int, _) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    def stop_if_asked() -> None:
        if asked:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield stop_if_asked  # signals reach the main thread only
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop_if_asked
        stop_if_asked()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


__all__ = ["embed_file", "output_place"]
