"""Evaluating signals along a genome: a model beside baselines and controls, region by region."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from accelerate import PartialState
from accelerate.utils import gather_object
from transformers import PreTrainedModel
from transformers.utils import logging

from textgenome.data.sequences import GenomeSequence
from textgenome.data.signals import SignalReader
from textgenome.data.windows import Place, tile, with_letters
from textgenome.evaluation.conditions import AS_IS
from textgenome.evaluation.report import Figure, Table
from textgenome.evaluation.report_parts import best_median_worst
from textgenome.evaluation.reporting import note_speed, write_results
from textgenome.evaluation.track_baselines import TrackBaselines
from textgenome.evaluation.track_metrics import (
    CONDITIONS,
    by_track,
    gene_values,
    measure_genes,
    measure_regions,
    metric_words,
    pearson_of_sums,
    signal_sums,
)
from textgenome.genome import plot
from textgenome.genome.fasta import open_fasta
from textgenome.genome.gtf import read_annotation
from textgenome.genome.progress import Progress
from textgenome.inference.tracks import predict_tracks
from textgenome.processing.processing_textgenome_dna import TextGenomeDNAProcessor


logger = logging.get_logger(__name__)

LONGEST = 131_072  # bases of a region: longer ones are several
MOST_LANES = 6  # of a picture
FITTED = 500  # training regions that baselines are fitted to


@dataclass
class TrackRegions:
    """What a model of tracks is evaluated on.

    Args:
        fasta: The genome.
        reader: Of the signals.
        train: Regions that the model was trained on.
        test: Regions that were held out.
        window: Bases that the model reads at once.
        gtf: Genes, for the metric across genes; or None.
    """

    fasta: str
    reader: SignalReader
    train: Sequence[Place]
    test: Sequence[Place]
    window: int
    gtf: str | None = None

    def __post_init__(self):
        longest = max(self.window, LONGEST // self.window * self.window)
        # Read along the genome: a region has a strand to say where its gene is.
        self.train, self.test = (
            with_letters(tile([place._replace(strand="+") for place in places], longest), self.genome)
            for places in (self.train, self.test)
        )

    @cached_property
    def genome(self):
        return open_fasta(self.fasta)

    @cached_property
    def transcripts(self) -> dict[str, list]:
        """The first transcript of each gene, by contig of the genome."""
        if self.gtf is None:
            return {}
        annotation = read_annotation(self.gtf)
        names = annotation.named_as(self.genome.references)
        found = {}
        for contig, name in names.items():
            genes = {each.gene: each for each in reversed(annotation.transcripts(name))}
            found[contig] = list(genes.values())
        return found

    def sequence(self, place: Place) -> str:
        return GenomeSequence(self.genome, place.interval, place.strand)[:]

    def genes(self, place: Place) -> tuple[list[np.ndarray], np.ndarray]:
        """The genes that lie in a region as a whole: the bins of their exons, and which tracks tell of each."""
        resolution, bins, strands = self.reader.resolution, [], []
        for each in self.transcripts.get(place.contig, []):
            if place.start <= each.exons[0][0] and each.exons[-1][1] <= place.end:
                parts = [
                    np.arange((start - place.start) // resolution, -(-(end - place.start) // resolution))
                    for start, end in each.exons
                ]
                bins.append(np.unique(np.concatenate(parts)))
                strands.append([track.strand in (".", each.strand) for track in self.reader.tracks])
        return bins, np.array(strands, dtype=bool).reshape(-1, len(self.reader.tracks))


def evaluate_tracks(
    model: PreTrainedModel,
    processor: TextGenomeDNAProcessor,
    regions: TrackRegions,
    output_dir: str | Path,
    batch_size: int = 8,
    average_strands: bool = False,
    facts: dict | None = None,
    seed: int = 0,
) -> dict | None:
    """Evaluate a model of tracks, and write `metrics.json` and `report.html`.

    To be called by all processes, which share the regions.

    Args:
        model: A `TextGenomeDNAForTrackPrediction`.
        processor: Its processor.
        regions: Where.
        output_dir: Folder for the files.
        batch_size: Windows at a time.
        average_strands: See `predict_tracks`.
        facts: See `write_results`; `bases_per_second`, by what was done, is completed.
        seed: Of the bootstrap.

    Returns:
        The content of `metrics.json`, in the main process; None in others.
    """
    predictor = _Predictor(model, processor, regions, batch_size, average_strands)
    baselines = TrackBaselines(len(regions.reader.tracks), regions.reader.resolution)
    for place in _evenly(regions.train, FITTED):
        baselines.add(regions.sequence(place), regions.reader(place))
    baselines.fit()
    sums, genes = _gather(measure_held_out(predictor, regions, baselines))
    sums["in_sample"], _ = (each.get(AS_IS) for each in _gather(measure_in_sample(predictor, regions)))
    speeds = (facts or {}).get("bases_per_second", {})
    speeds = {**speeds, "predicting": round(sum(gather_object([predictor.bases / predictor.seconds])))}
    if not PartialState().is_main_process:
        return None
    groups, names = zip(*((track.group, track.name) for track in regions.reader.tracks))
    measured = {name: measure_regions(each, groups) for name, each in sums.items()}
    for name, each in genes.items():
        measured[name] |= measure_genes(each)
    words = metric_words(groups, bool(genes))
    tables = [_table_of_tracks(sums, names, groups)]
    figures = draw_regions(predictor, regions, sums[AS_IS])
    return write_results(
        output_dir,
        "tracks",
        {name: {metric: values[metric] for metric in words if metric in values} for name, values in measured.items()},
        unit="region",
        metrics=words,
        conditions=CONDITIONS,
        facts={**(facts or {}), "bases_per_second": speeds, "training_regions": len(regions.train)},
        unpaired=["in_sample"],
        notes=[note_speed(speeds)],
        figures=figures,
        tables=tables,
        seed=seed,
    )


class _Predictor:
    """Predicts a region in the windows that the model reads, and counts bases and seconds."""

    def __init__(self, model, processor, regions: TrackRegions, batch_size: int, average_strands: bool):
        self.model, self.processor, self.regions = model, processor, regions
        self.batch_size, self.average_strands = batch_size, average_strands
        self.bases, self.seconds = 0, 1e-9

    def __call__(self, region: Place) -> np.ndarray:
        """`(bins, tracks)`."""
        started = time.perf_counter()
        windows = [self.regions.sequence(window) for window in tile([region], self.regions.window)]
        predicted = []
        for start in range(0, len(windows), self.batch_size):
            batch = windows[start : start + self.batch_size]
            predicted += predict_tracks(self.model, self.processor, batch, self.average_strands)
        self.bases += region.end - region.start
        self.seconds += time.perf_counter() - started
        return np.concatenate(predicted)


def measure_held_out(predict: _Predictor, regions: TrackRegions, baselines: TrackBaselines) -> Iterator[tuple]:
    """For each held-out region of this process the sums of all conditions, by name, and those of its genes."""
    places = _share(len(regions.test))
    before = None
    if len(regions.test) > 1 and places:
        before = predict(regions.test[places[0] - 1])
    for number in Progress(places, desc="Evaluating", unit="region"):
        place = regions.test[number]
        truth, predicted = regions.reader(place), predict(place)
        conditions = {AS_IS: predicted}
        if before is not None:
            conditions["dna_exchanged"] = before
        conditions |= baselines.predict(regions.sequence(place), len(truth))
        found, of_genes = {}, {}
        bins, strands = regions.genes(place)
        for name, signal in conditions.items():
            same = min(len(signal), len(truth))
            found[name] = signal_sums(signal[:same], truth[:same])
            if regions.gtf is not None and same == len(truth):
                of_genes[name] = _sums_of_genes(signal, truth, bins, strands)
        yield found, of_genes
        before = predicted


def measure_in_sample(predict: _Predictor, regions: TrackRegions) -> Iterator[tuple]:
    """The sums of as many regions that were trained on."""
    places = _evenly(regions.train, len(regions.test))
    for number in _share(len(places)):
        yield {AS_IS: signal_sums(predict(places[number]), regions.reader(places[number]))}, {}


def draw_regions(predict: _Predictor, regions: TrackRegions, sums: np.ndarray) -> list[Figure]:
    """The best, the median and the worst held-out region, with a track of each group: that with the best r.

    Args:
        predict: Predicts a region again.
        regions: Where.
        sums: Of the model on each held-out region, `(regions, 7, tracks)`.
    """
    if plot.Figure is None:
        logger.warning("The report has no pictures: they need matplotlib, pip install 'textgenome[genome]'.")
        return []
    r = np.nan_to_num(pearson_of_sums(sums))
    order, tracks = np.argsort(-r.mean(axis=1), kind="stable"), regions.reader.tracks
    pooled = np.nan_to_num(pearson_of_sums(sums.sum(axis=0)))
    chosen = {}
    for number in np.argsort(-pooled, kind="stable").tolist():
        chosen.setdefault(tracks[number].group, number)
    shown = sorted({*list(chosen.values())[:MOST_LANES], *(regions.reader.partners[i] for i in chosen.values())})
    figures = []
    for name, number in best_median_worst(order).items():
        place = regions.test[number]
        truth, predicted = regions.reader(place), predict(place)
        lanes = [
            plot.Lane(tracks[i].name, truth[:, i], predicted[:, i], f"r {r[number, i]:.2f}")
            for i in shown[:MOST_LANES]
        ]
        genes = regions.transcripts.get(place.contig, [])
        picture = plot.as_png(plot.plot_tracks(place.interval, lanes, genes))
        caption = f"{place}, mean r over all tracks {r[number].mean():.3f}. Measured above predicted, on one scale."
        figures.append(Figure(f"{name} held-out region", picture, caption, wide=True))
    return figures


def _sums_of_genes(signal: np.ndarray, truth: np.ndarray, bins: Sequence[np.ndarray], strands: np.ndarray):
    values = (gene_values(each, bins, strands) for each in (signal, truth))
    pairs = [signal_sums(one[None], other[None]) for one, other in zip(*values)]
    return np.array(pairs).reshape(-1, 7, signal.shape[1])


def _evenly(places: Sequence[Place], most: int) -> list[Place]:
    chosen = np.linspace(0, len(places) - 1, min(most, len(places))).round().astype(int)
    return [places[number] for number in sorted({*chosen.tolist()})]


def _share(count: int) -> range:
    """The numbers of this process, in a row: the one before them has the region whose DNA is exchanged."""
    state = PartialState()
    ends = [count * rank // state.num_processes for rank in (state.process_index, state.process_index + 1)]
    return range(*ends)


def _gather(found: Iterator[tuple]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """By condition the sums of all regions, `(regions, 7, tracks)`, and those of all genes."""
    every = gather_object(list(found))
    sums = {name: np.stack([each[name] for each, _ in every]) for name in every[0][0]}
    genes = {name: np.concatenate([each[name] for _, each in every if name in each]) for name in every[0][1]}
    # Of DNA that is exchanged for shorter DNA some genes have no prediction.
    count = len(genes.get(AS_IS, ()))
    return sums, {name: each for name, each in genes.items() if len(each) == count > 1}


def _table_of_tracks(sums: dict[str, np.ndarray], names: Sequence[str], groups: Sequence[str]) -> Table:
    columns = ["track", "group", *(CONDITIONS[name].title for name in sums)]
    caption = "Pearson's r of log1p, pooled over the regions."
    return Table("Tracks", columns, by_track(sums, names, groups), caption)


__all__ = ["TrackRegions", "evaluate_tracks"]
