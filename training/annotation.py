"""The task `annotation` of `train_dna.py`: labelling the bases of a genome."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch.utils.data import Sampler
from transformers import BatchFeature, PreTrainedConfig, PreTrainedTokenizerBase, Trainer
from transformers.utils import logging

from textgenome import TextGenomeDNAForTokenClassification, TextGenomeDNAProcessor
from textgenome.configuration.configuration_textgenome import bases_per_state, build_dna_config
from textgenome.configuration.dna_arguments import DNAArguments, DNAModelArguments, DNATrainingArguments
from textgenome.data.sequences import GenomeSequence, Tiling, reverse_complement
from textgenome.data.windows import (
    UNKNOWN,
    LabelReader,
    Place,
    PlaceRows,
    check_apart,
    hide_unknown,
    on_both_strands,
    read_places,
    split_blocks,
    split_contigs,
    tile,
    with_letters,
)
from textgenome.genome.fasta import open_fasta
from textgenome.genome.gtf import read_annotation
from textgenome.inference.along_genome import split_tile
from textgenome.inference.checkpoints import FINGERPRINTED
from textgenome.processing.dna_tokenizers import find_dna_tokenizer
from textgenome.processing.processing_dna import longest_token
from textgenome.training.jobs import Job, build_model
from textgenome.training.measuring_annotation import measure
from textgenome.training.trainer import GroupedByLength


logger = logging.get_logger(__name__)

WINDOW = 4096  # bases of a window by default
RARE = 50.0  # most that a rare label counts
STOPS = ("TAA", "TAG", "TGA")


def prepare(script_args: DNAArguments, training_args: DNATrainingArguments, model_args: DNAModelArguments) -> Job:
    """Cut the genome into windows, and put a new head for the labels on the encoder."""
    if not (script_args.fasta and script_args.gtf and script_args.labels):
        raise ValueError("The task annotation needs a genome, its annotation and labels: --fasta, --gtf and --labels.")
    genome = open_fasta(script_args.fasta)
    contigs = dict(zip(genome.references, genome.lengths))
    labels = [label.strip() for label in script_args.labels.split(",") if label.strip()]
    annotations = [read_annotation(path, labels) for path in script_args.gtf.split(",")]
    reader = LabelReader(annotations, list(contigs), labels, script_args.stranded)
    tokenizer = find_dna_tokenizer(model_args.dna_model, model_args.dna_config, model_args.dna_tokenizer)
    head = head_settings(script_args, model_args, tokenizer, labels)
    unit = bases_per_state(dna_config_of(model_args))
    script_args.dna_window = min(script_args.dna_window or WINDOW, Tiling(tokenizer, unit).most)
    tiling = Tiling(tokenizer, unit, script_args.dna_window)
    split_tile(tiling, script_args.overlap)
    train, validation, test = split_places(script_args, contigs, genome)
    fields = {"reader": reader, "one_label": head["problem_type"] == "single_label_classification"}
    rows = [windows(script_args, places, genome, reader) for places in (train, validation)]
    head["cds_has_stop"] = "CDS" not in labels or has_stops(genome, annotations, train)
    if script_args.class_weights == "balanced":
        head["class_weights"] = balance(rows[0], fields["one_label"])
    model = build_model(TextGenomeDNAForTokenClassification, model_args, tokenizer, **head)
    processor = TextGenomeDNAProcessor(tokenizer, script_args.dna_window)
    measured = {"places": {"train": train, "validation": validation, "test": test}, "tiling": tiling}
    return Job(
        model=model,
        processor=processor,
        train_rows=rows[0],
        eval_rows=rows[1],
        collator=WindowCollator(processor, fields["one_label"]),
        compute_metrics=None,
        measure=partial(measure, processor=processor, reader=reader, script_args=script_args, **measured)
        if training_args.do_eval
        else None,
        settings={"data_fingerprint": fingerprint(script_args, rows[0].places, contigs), "labels": labels},
        rereads_windows=True,
        sampler=partial(group_by_length, rows[0].places, training_args),
    )


def group_by_length(places: Sequence[Place], training_args: DNATrainingArguments, trainer: Trainer) -> Sampler:
    """A random order in which windows of about one length, such as those of short contigs, are in one batch."""
    lengths = [place.end - place.start for place in places]
    batch_size = training_args.train_batch_size * training_args.gradient_accumulation_steps
    return GroupedByLength(lengths, batch_size, training_args.seed, lambda: int(trainer.state.epoch or 0))


class WindowCollator:
    """Makes a batch of rows with `sequence` and `labels`.

    Args:
        processor: The processor.
        one_label: Whether each base has one class: the last label it has, or 0, the class of all others.
    """

    def __init__(self, processor: TextGenomeDNAProcessor, one_label: bool = False):
        self.processor, self.one_label = processor, one_label

    def __call__(self, rows: list[Mapping]) -> BatchFeature:
        """Collate rows.

        Returns:
            What the processor gives, and `labels`, int64: `(batch, bases, labels)`, or `(batch, bases)` of one class
            a base; -100 where the genome has no letter, and after the end of a row.
        """
        batch = self.processor([row["sequence"] for row in rows], return_tensors="pt")
        each = [torch.from_numpy(hide_unknown(row["labels"], row["sequence"])).long() for row in rows]
        labels = torch.nn.utils.rnn.pad_sequence(each, batch_first=True, padding_value=UNKNOWN)
        if self.one_label:
            places = torch.arange(1, labels.shape[-1] + 1)
            known = labels[..., 0] != UNKNOWN
            labels = (labels * places).amax(-1).where(known, torch.tensor(UNKNOWN))
        batch["labels"] = labels
        return batch


def dna_config_of(model_args: DNAModelArguments) -> PreTrainedConfig:
    return build_dna_config(model_args.dna_config or PreTrainedConfig.get_config_dict(model_args.dna_model)[0])


def head_settings(
    script_args: DNAArguments, model_args: DNAModelArguments, tokenizer: PreTrainedTokenizerBase, labels: list[str]
) -> dict:
    """Fields of the configuration that say what the head is."""
    problem = script_args.problem_type or "multi_label_classification"
    if problem == "regression":
        raise ValueError("problem_type: bases have labels or a class, not a value; the task tracks learns signals.")
    names = ["other", *labels] if problem == "single_label_classification" else labels
    return {
        "id2label": dict(enumerate(names)),
        "problem_type": problem,
        "state_bases": longest_token(tokenizer) * bases_per_state(dna_config_of(model_args)),
        "base_head": script_args.base_head,
        "cnn_channels": script_args.cnn_channels,
        "cnn_kernel_size": script_args.cnn_kernel_size,
        "cnn_stride": script_args.cnn_stride,
        "cnn_dilations": script_args.cnn_dilations,
        "classifier_dropout": model_args.classifier_dropout,
        "focal_gamma": script_args.focal_gamma,
        "stranded": script_args.stranded,
        "num_sequences": 1,
        "pooling": "mean",
    }


def split_places(
    script_args: DNAArguments, contigs: Mapping[str, int], genome
) -> tuple[list[Place], list[Place], list[Place]]:
    """Places to train on, for validation, and to measure on; no two of them share a base."""
    window = script_args.dna_window
    if script_args.test_regions:
        test = read_places(script_args.test_regions, contigs)
        if not script_args.regions:
            raise ValueError("test_regions needs regions: a BED file of what to train on, apart from them.")
        train = read_places(script_args.regions, contigs)
    elif script_args.test_contigs:
        train, test = split_contigs(contigs, script_args.test_contigs)
    else:
        train, test = split_blocks(contigs, script_args.test_share, window=window)
    if script_args.regions and not script_args.test_regions:
        raise ValueError("regions needs test_regions: a BED file of what to measure on, apart from them.")
    train, test = (with_letters([place._replace(strand="+") for place in part], genome) for part in (train, test))
    check_apart(train, test)
    if script_args.validation_regions:
        validation = with_letters(read_places(script_args.validation_regions, contigs), genome)
        check_apart([*train, *test], validation)
    else:
        train, validation = split_validation(train, script_args.validation_share, window)
    if not (train and validation and test):
        raise ValueError("The genome is too small, or has too few letters, to be split into three parts.")
    return train, validation, test


def split_validation(places: Sequence[Place], share: float, window: int) -> tuple[list[Place], list[Place]]:
    """Hold out blocks of the places that are trained on, as `split_blocks` does of contigs."""
    numbered = {number: place.end - place.start for number, place in enumerate(places)}
    parts = split_blocks(numbered, share, window=window)
    return tuple(
        [Place(places[n].contig, places[n].start + start, places[n].start + end) for n, start, end, _ in part]
        for part in parts
    )


def windows(script_args: DNAArguments, places: Sequence[Place], genome, reader: LabelReader) -> PlaceRows:
    tiles = with_letters(tile(places, script_args.dna_window, script_args.stride), genome)
    if script_args.stranded:
        tiles = on_both_strands(tiles)
    return PlaceRows(tiles, script_args.fasta, {"labels": reader})


def balance(rows: PlaceRows, one_label: bool) -> list[float]:
    """How much each label has to count so that bases with it count as much as those without it, at most `RARE`."""
    with_label, bases = 0, 0
    for place in rows.places:
        labels = rows.readers["labels"](place)
        with_label, bases = with_label + labels.sum(0, dtype=int), bases + len(labels)
    weights = [float(min(RARE, max(1.0, bases / max(int(count), 1) - 1))) for count in with_label]
    return [1.0, *weights] if one_label else weights


def has_stops(genome, annotations: Sequence, places: Sequence[Place], most: int = 1000) -> bool:
    """Whether coding parts of the annotation end with their stop codon, as in GFF3, or before it, as in GTF."""
    ends: Counter[bool] = Counter()
    inside = {place.contig for place in places}
    for annotation in annotations:
        for contig, name in annotation.named_as(genome.references).items():
            coding = [each for each in annotation.transcripts(name) if each.cds] if contig in inside else []
            for each in coding[:most]:
                start, end = each.cds[-1] if each.strand == "+" else each.cds[0]
                last = (end - 3, end) if each.strand == "+" else (start, start + 3)
                letters = GenomeSequence(genome, Place(contig, *last).interval)[:]
                ends[(letters if each.strand == "+" else reverse_complement(letters)) in STOPS] += 1
    return ends[True] >= ends[False]


def fingerprint(script_args: DNAArguments, places: Sequence[Place], contigs: Mapping[str, int]) -> str:
    """A hash of what the windows hold: their places, the annotation, and the genome's contigs and first and last
    bytes."""
    digest = hashlib.sha256(json.dumps([list(map(tuple, places)), contigs]).encode())
    for path in script_args.gtf.split(","):
        digest.update(Path(path).read_bytes())
    with open(script_args.fasta, "rb") as file:
        size = file.seek(0, 2)
        for start in (0, max(0, size - FINGERPRINTED)):
            file.seek(start)
            digest.update(file.read(FINGERPRINTED))
    return digest.hexdigest()


__all__ = ["WindowCollator", "prepare", "split_places"]
