"""Measuring a model that labels bases on held-out loci, beside baselines and controls."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from accelerate.utils import gather_object
from transformers import Trainer
from transformers.utils import logging

from textgenome.configuration.dna_arguments import DNAArguments
from textgenome.data.files import read_json
from textgenome.data.sequences import Tiling
from textgenome.data.windows import LabelReader, Place
from textgenome.evaluation.base_labels import (
    EXCHANGED,
    HEXAMER,
    LABEL_CONDITIONS,
    LOCUS,
    POSITIVE,
    REVERSED,
    HexamerBaseline,
    Truths,
    count_bases,
    count_transcripts,
    exchange,
    measured_f1,
)
from textgenome.evaluation.conditions import AS_IS
from textgenome.evaluation.hexamers import best_threshold
from textgenome.evaluation.label_pictures import draw_loci
from textgenome.evaluation.reporting import format_table, note_speed, write_results
from textgenome.genome.fasta import open_fasta
from textgenome.inference.along_genome import pieces_of, predict_piece
from textgenome.inference.base_labels import label_strands
from textgenome.inference.gene_finding import GeneRules, find_transcripts, log_odds_of
from textgenome.processing.processing_textgenome_dna import TextGenomeDNAProcessor
from textgenome.training.figures import trained_bases_per_second


logger = logging.get_logger(__name__)


class Measuring:
    """Labels of places by the model, in tiles."""

    def __init__(self, trainer: Trainer, processor, reader: LabelReader, tiling: Tiling, args: DNAArguments):
        self.model, self.processor, self.tiling, self.overlap = trainer.model, processor, tiling, args.overlap
        self.genome = open_fasta(args.fasta)
        self.truths = Truths(self.genome, reader)
        self.batch_size = trainer.args.per_device_eval_batch_size
        self.single = self.model.config.problem_type == "single_label_classification"

    def predict(self, place: Place, reverse: bool = False) -> np.ndarray:
        """Probabilities of the labels, `(strands, bases, labels)`; of the bases read backwards, turned again."""

        def forward(sequences):
            given = [sequence[::-1] for sequence in sequences] if reverse else sequences
            found = label_strands(self.model, self.processor, given)
            return [each[::-1] for each in found] if reverse else found

        strands, labels = len(self.truths.strands), self.model.config.num_labels
        values = predict_piece(self.genome, place, forward, self.tiling, self.overlap, self.batch_size)
        if values is None:
            values = np.zeros((place.end - place.start, strands * labels), np.float16)
        values = values.reshape(len(values), strands, labels).transpose(1, 0, 2)
        return values[..., 1:] if self.single else values


def measure(
    trainer: Trainer,
    processor: TextGenomeDNAProcessor,
    reader: LabelReader,
    script_args: DNAArguments,
    places: Mapping[str, Sequence[Place]],
    tiling: Tiling,
) -> None:
    """Choose thresholds on the places for validation, and measure on those that are held out."""
    trainer.model.eval()
    measuring = Measuring(trainer, processor, reader, tiling, script_args)
    output_dir = Path(trainer.args.output_dir)
    thresholds = choose_thresholds(trainer, measuring, places["validation"])
    if trainer.is_world_process_zero():
        remember_thresholds(output_dir, trainer.model.config, thresholds)
    units, seconds = pieces_of(places["test"], LOCUS), time.perf_counter()
    predictions = predict_all(trainer, measuring, units)
    seconds = time.perf_counter() - seconds
    backwards = predict_all(trainer, measuring, units, reverse=True)
    if not trainer.is_world_process_zero():
        return
    baseline = HexamerBaseline(measuring.truths, places["train"])
    bases = count_conditions(measuring, baseline, units, predictions, backwards, thresholds)
    wholes = {}
    if "CDS" in reader.labels:
        wholes = {AS_IS: count_genes(measuring, places["test"], units, predictions, thresholds)}
    measured, metrics = measured_f1(reader.labels, bases, wholes)
    lengths = {name: sum(end - start for _, start, end, _ in part) for name, part in places.items()}
    facts = {
        "model": output_dir.name,
        "dataset_name": script_args.fasta,
        "labels": reader.labels,
        "thresholds": thresholds,
        "bases": lengths,
        "bases_per_second": {
            "training": trained_bases_per_second(output_dir),
            "predicting": round(lengths["test"] / seconds),
        },
    }
    notes = [
        "Bases: " + ", ".join(f"{count:,} {name}" for name, count in lengths.items()) + ".",
        note_speed(facts["bases_per_second"]),
    ]
    results = write_results(
        output_dir / "evaluation",
        "annotation",
        measured,
        unit="locus",
        metrics=metrics,
        conditions=LABEL_CONDITIONS,
        facts=facts,
        notes=notes,
        figures=draw_loci(measuring.truths, units, predictions, bases[AS_IS]),
        seed=trainer.args.seed,
    )
    print("", format_table(results), "", sep="\n")


def predict_all(
    trainer: Trainer, measuring: Measuring, units: Sequence[Place], reverse: bool = False
) -> list[np.ndarray]:
    """The predictions of all units, by all processes, in their order."""
    process, processes = trainer.args.process_index, trainer.args.world_size
    mine = [(i, measuring.predict(units[i], reverse)) for i in range(process, len(units), processes)]
    found = gather_object(mine) if processes > 1 else mine
    return [values for _, values in sorted(found, key=lambda each: each[0])]


def choose_thresholds(trainer: Trainer, measuring: Measuring, places: Sequence[Place]) -> list[float]:
    """For each label the probability with the best F1 on these places."""
    units = pieces_of(places, LOCUS)
    predictions = predict_all(trainer, measuring, units)
    truths = [measuring.truths.labels(unit) for unit in units]
    return [
        best_threshold(
            [each[..., column].ravel().astype(np.float32) for each in predictions],
            [each[..., column].ravel() for each in truths],
        )[0]
        for column in range(truths[0].shape[-1])
    ]


def remember_thresholds(output_dir: Path, config, thresholds: list[float]) -> None:
    """Keep the thresholds with the model, if it is whole; an adapter has the configuration of its base."""
    config.label_thresholds = [min(max(round(float(each), 4), 0.01), 0.99) for each in thresholds]
    path = output_dir / "config.json"
    if path.exists():
        values = read_json(path) | {"label_thresholds": config.label_thresholds}
        path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def count_conditions(
    measuring: Measuring,
    baseline: HexamerBaseline,
    units: Sequence[Place],
    predictions: Sequence[np.ndarray],
    backwards: Sequence[np.ndarray],
    thresholds: Sequence[float],
) -> dict[str, np.ndarray]:
    """Counts by condition, `(units, labels, 3)`."""
    counts: dict[str, list[np.ndarray]] = {}
    for number, unit in enumerate(units):
        truth = measuring.truths.labels(unit)
        called = {
            AS_IS: predictions[number] >= thresholds,
            HEXAMER: baseline(measuring.truths.letters(unit)),
            POSITIVE: np.ones_like(truth, bool),
            EXCHANGED: exchange(predictions, number, truth.shape[1]) >= thresholds,
            REVERSED: backwards[number] >= thresholds,
        }
        for condition, each in called.items():
            counts.setdefault(condition, []).append(count_bases(each, truth))
    return {condition: np.stack(each) for condition, each in counts.items()}


def count_genes(
    measuring: Measuring,
    places: Sequence[Place],
    units: Sequence[Place],
    predictions: Sequence[np.ndarray],
    thresholds: Sequence[float],
) -> dict[str, np.ndarray]:
    """Counts of exons and genes of each place, `(places, 3)`."""
    config, column = measuring.model.config, measuring.truths.reader.labels.index("CDS")
    rules, parts = GeneRules(cds_has_stop=config.cds_has_stop), list(zip(units, predictions))
    counts: dict[str, list[np.ndarray]] = {}
    for place in places:
        inside = [
            values for unit, values in parts if unit.contig == place.contig and place.start <= unit.start < place.end
        ]
        probabilities = np.concatenate([values[..., column] for values in inside], axis=1)
        odds = [log_odds_of(strand, thresholds[column]) for strand in probabilities]
        letters = measuring.truths.letters(place)
        found = find_transcripts(place.contig, place.start, letters, odds, rules)
        truth = measuring.truths.transcripts(place)
        if not config.cds_has_stop:
            found = [each._replace(cds=without_stop(each.cds, each.strand)) for each in found]
        for name, each in count_transcripts(found, truth).items():
            counts.setdefault(name, []).append(each)
    return {name: np.stack(each) for name, each in counts.items()}


def without_stop(cds: tuple[tuple[int, int], ...], strand: str) -> tuple[tuple[int, int], ...]:
    """Coding parts without their last three bases."""
    left, parts = 3, list(cds)
    while left:
        start, end = parts[-1 if strand == "+" else 0]
        taken = min(left, end - start)
        part = (start, end - taken) if strand == "+" else (start + taken, end)
        parts[-1 if strand == "+" else 0] = part
        if part[0] == part[1]:
            del parts[-1 if strand == "+" else 0]
        left -= taken
    return tuple(parts)


__all__ = ["measure"]
