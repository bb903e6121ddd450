"""The task `tracks` of `train_dna.py`: signals along a genome, from its FASTA file and bigWig files."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from transformers import Trainer
from transformers.utils import logging

from textgenome import TextGenomeDNAForTrackPrediction, TextGenomeDNAProcessor
from textgenome.configuration.dna_arguments import DNAArguments, DNAModelArguments, DNATrainingArguments
from textgenome.data.sequences import Tiling
from textgenome.data.signals import AugmentedRows, SignalReader, TrackCollator, mean_signals, some_signals
from textgenome.data.windows import Place, PlaceRows, check_apart, read_places, split_contigs, tile, with_letters
from textgenome.evaluation.reporting import format_table
from textgenome.evaluation.tracks import TrackRegions, evaluate_tracks
from textgenome.genome.bigwig import pair_strands, read_tracks
from textgenome.genome.fasta import open_fasta
from textgenome.processing.dna_tokenizers import find_dna_tokenizer
from textgenome.processing.processing_dna import DNA_WINDOW
from textgenome.training.figures import trained_bases_per_second
from textgenome.training.jobs import Job, build_model


logger = logging.get_logger(__name__)

LEAST = 1e-4  # mean of a track that a head starts at
ENDS = 2**20  # bytes at either end of a file that tell whether it is the same


def prepare(script_args: DNAArguments, training_args: DNATrainingArguments, model_args: DNAModelArguments) -> Job:
    """Read which regions and tracks there are, and put a new head for the tracks on the encoder."""
    check_flags(script_args, training_args)
    dna_tokenizer = find_dna_tokenizer(model_args.dna_model, model_args.dna_config, model_args.dna_tokenizer)
    script_args.dna_window = window = find_window(script_args, Tiling(dna_tokenizer).most)
    genome = open_fasta(script_args.fasta)
    train, validation, test = split_regions(script_args, dict(zip(genome.references, genome.lengths)))
    windows = with_letters(tile(train, window, script_args.stride), genome)
    reader = read_signals(script_args)
    reader.check_contigs([*train, *validation, *test])
    squash = script_args.target_scaling == "squash"
    means = mean_signals(reader, windows) if squash else None
    head = head_settings(script_args, [each.name for each in reader.tracks], reader.partners, means)
    model = build_model(TextGenomeDNAForTrackPrediction, model_args, dna_tokenizer, **head)
    model.head.start_at(mean_labels(model, reader, windows))
    # Weights that begin at random come without the statistics of batch norms.
    model.model.trains_batch_norm = model_args.dna_model is None and not model_args.freeze_dna_encoder
    processor = TextGenomeDNAProcessor(dna_tokenizer, window)
    augmented = AugmentedRows(
        windows, script_args.fasta, reader, script_args.reverse_complement, script_args.shift, training_args.seed
    )
    watched = with_letters(tile(validation or test, window), genome)
    regions = TrackRegions(script_args.fasta, reader, train, test, window, script_args.gtf)
    files = [script_args.fasta, *(track.path for track in reader.tracks)]
    return Job(
        model=model,
        processor=processor,
        train_rows=augmented,
        eval_rows=PlaceRows(watched, script_args.fasta, {"labels": reader}) if training_args.do_eval else None,
        collator=TrackCollator(processor),
        compute_metrics=None,
        measure=partial(measure, processor=processor, regions=regions, script_args=script_args)
        if training_args.do_eval
        else None,
        settings={"data_fingerprint": fingerprint(windows, files), "labels": [each.name for each in reader.tracks]},
        rereads_windows=not script_args.shift,
    )


def check_flags(script_args: DNAArguments, training_args: DNATrainingArguments) -> None:
    """Raise ValueError where the flags do not fit the task or each other."""
    missing = [f"--{name}" for name in ("fasta", "tracks") if getattr(script_args, name) is None]
    if missing:
        raise ValueError(f"The task tracks needs {' and '.join(missing)}.")
    if (script_args.test_regions is None) == (script_args.test_contigs is None):
        raise ValueError(
            "Name what to evaluate on by --test_regions FILE.bed or --test_contigs NAME ..., one of them."
        )
    if script_args.test_regions is not None and script_args.regions is None:
        raise ValueError("Name what to train on by --regions FILE.bed, beside --test_regions.")
    if training_args.load_best_model_at_end and script_args.validation_regions is None:
        raise ValueError(
            "Early stopping chooses weights by --validation_regions FILE.bed: chosen by the regions that are "
            "evaluated on in the end, they would look better than they are."
        )
    window = script_args.dna_window or DNA_WINDOW
    if window % script_args.resolution:
        raise ValueError(f"dna_window is {window}, but must be a multiple of the resolution {script_args.resolution}.")


def find_window(script_args: DNAArguments, most: int) -> int:
    """How many bases a window has: by default 2,048, or what the encoder reads if that is less.

    Raises:
        ValueError: If the encoder reads less than the window that is asked for.
    """
    bin_size = script_args.resolution
    window = script_args.dna_window or min(DNA_WINDOW, most // bin_size * bin_size)
    if not 0 < window <= most:
        raise ValueError(f"dna_window is {window}, but the encoder reads at most {most} bases.")
    return window


def split_regions(script_args: DNAArguments, contigs: dict[str, int]) -> tuple[list[Place], list[Place], list[Place]]:
    """What to train on, what to watch in training, and what to evaluate on, which share no base.

    Raises:
        ValueError: If they do, or a region is not on the genome.
    """
    read = partial(read_places, contigs=contigs)
    if script_args.test_contigs is not None:
        train, test = split_contigs(contigs, script_args.test_contigs)
        held_out = {place.contig for place in test}
        if script_args.regions is not None:
            train = [place for place in read(script_args.regions) if place.contig not in held_out]
    else:
        train, test = read(script_args.regions), read(script_args.test_regions)
    validation = read(script_args.validation_regions) if script_args.validation_regions else []
    for name, places in {"train on": train, "evaluate on": test}.items():
        if not places:
            raise ValueError(f"There is no region to {name}.")
    check_apart(train, test)
    check_apart([*train, *test], validation)
    return train, validation, test


def read_signals(script_args: DNAArguments) -> SignalReader:
    tracks = read_tracks(script_args.tracks)
    # Neither a logarithm nor a power is there of what is negative, nor does any head predict it.
    return SignalReader(tracks, script_args.resolution, pair_strands(tracks), script_args.uncovered)


def head_settings(
    script_args: DNAArguments, names: Sequence[str], partners: Sequence[int] | None, means: Sequence[float] | None
) -> dict:
    """Fields of the configuration that say what the head is."""
    return {
        "num_sequences": 1,
        "pooling": "mean",
        "id2label": dict(enumerate(names)),
        "track_resolution": script_args.resolution,
        "track_loss": script_args.loss,
        "track_means": means,
        "track_partners": partners,
        **{name: value for name, value in asdict(script_args).items() if name.startswith("track_")},
    }


def mean_labels(
    model: TextGenomeDNAForTrackPrediction, reader: SignalReader, windows: Sequence[Place], most: int = 200
) -> torch.Tensor:
    """The mean of each track on the scale of the loss, `(tracks,)`; a small one where it is 0 in what is read."""
    sums, counts = torch.zeros(2, len(reader.tracks))
    for signal in some_signals(reader, windows, most):
        labels = torch.from_numpy(signal)[None]
        labels = model.scale_labels(labels, torch.ones(labels.shape[:2], dtype=torch.bool))
        sums, counts = sums + labels.nansum((0, 1)), counts + (~labels.isnan()).sum((0, 1))
    return (sums / counts.clamp(min=1)).clamp(min=LEAST)


def fingerprint(places: Sequence[Place], files: Sequence[str]) -> str:
    """SHA-256 of the windows to train on, and of the sizes, first and last bytes of the files that they are read
    from: enough to see that they are others."""
    digest = hashlib.sha256(repr([tuple(place) for place in places]).encode())
    for name in files:
        with Path(name).open("rb") as file:
            size = file.seek(0, 2)
            for start in (0, max(0, size - ENDS)):
                file.seek(start)
                digest.update(f"{size}".encode() + file.read(ENDS))
    return digest.hexdigest()


def measure(
    trainer: Trainer, processor: TextGenomeDNAProcessor, regions: TrackRegions, script_args: DNAArguments
) -> None:
    """Evaluate on the held-out regions, beside baselines and controls: `evaluation` in the output folder."""
    folder = Path(trainer.args.output_dir) / "evaluation"
    model = trainer.accelerator.unwrap_model(trainer.model)
    facts = {
        "model": Path(trainer.args.output_dir).name,
        "tracks": len(regions.reader.tracks),
        "resolution": script_args.resolution,
        "loss": script_args.loss,
        "bases_per_second": {"training": trained_bases_per_second(folder.parent)},
    }
    with torch.autocast(model.device.type, torch.bfloat16, enabled=trainer.args.bf16):
        results = evaluate_tracks(
            model,
            processor,
            regions,
            folder,
            batch_size=trainer.args.per_device_eval_batch_size,
            average_strands=script_args.average_strands,
            facts=facts,
            seed=trainer.args.seed,
        )
    if results is not None:
        print(format_table(results))
        metrics = {f"eval_{name}": results["conditions"]["as_is"][name] for name in results["metrics"]}
        trainer.save_metrics("eval", metrics)


__all__ = ["measure", "prepare"]
