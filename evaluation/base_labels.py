"""Measuring labels of bases: F1 by base, exons and genes with right ends, beside baselines and controls."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from textgenome.data.sequences import GenomeSequence, reverse_complement
from textgenome.data.windows import LabelReader, Place, hide_unknown
from textgenome.evaluation.conditions import AS_IS, CONDITIONS, Condition
from textgenome.evaluation.hexamers import HexamerScore, count_hexamers, fit_window
from textgenome.evaluation.metrics import Metric
from textgenome.evaluation.units import Pooled
from textgenome.genome.transcripts import Transcript


LOCUS = 50_000  # most bases of a unit that is resampled
HEXAMER_BASES = 20_000_000  # most bases that hexamers are counted in
EXCHANGED, REVERSED, HEXAMER, POSITIVE = "dna_exchanged", "dna_reversed", "hexamers", "all_positive"
EXON, GENE = "exon_f1", "gene_f1"
LABEL_CONDITIONS = {
    AS_IS: Condition("unchanged", "model", "The model labels the bases of held-out loci."),
    EXCHANGED: Condition(
        CONDITIONS[EXCHANGED].title,
        "control",
        "Each locus gets the labels that the model gives another one. A drop shows that they depend on the DNA.",
    ),
    REVERSED: Condition(
        "DNA reversed",
        "control",
        "The bases are read backwards, without their complement: the same composition, and no gene.",
    ),
    HEXAMER: Condition(
        "hexamers",
        "baseline",
        "Log-odds of hexamers in frame against hexamers elsewhere, in windows; counts, window and threshold are those "
        "of the loci that were trained on.",
    ),
    POSITIVE: Condition("all positive", "baseline", "Each base has each label."),
}


@dataclass
class Truths:
    """Letters and labels of places of a genome.

    Args:
        genome: Open genome.
        reader: Of the labels.
    """

    genome: object
    reader: LabelReader

    @property
    def strands(self) -> str:
        return "+-" if self.reader.stranded else "+"

    def letters(self, place: Place) -> str:
        return GenomeSequence(self.genome, place.interval)[:]

    def labels(self, place: Place) -> np.ndarray:
        """`(strands, bases, labels)` in the direction of the strand `+`; -100 where there is no letter."""
        letters = self.letters(place)
        rows = [self.reader(Place(*place[:3], strand))[:: 1 if strand == "+" else -1] for strand in self.strands]
        return np.stack([hide_unknown(row, letters) for row in rows])

    def transcripts(self, place: Place) -> list[Transcript]:
        """The coding transcripts that are inside the place as a whole."""
        found = []
        for annotation, names in self.reader.annotations:
            if place.contig in names:
                found += (each for each in annotation.transcripts(names[place.contig]) if each.cds)
        return [each for each in found if place.start <= each.cds[0][0] and each.cds[-1][1] <= place.end]


class HexamerBaseline:
    """`HexamerScore` of each label, with thresholds, fitted on places that are trained on."""

    def __init__(self, truths: Truths, places: Iterable[Place]):
        counts = [[np.zeros(4096, np.int64) for _ in range(2)] for _ in truths.reader.labels]
        sequences, labels, bases = [], [], 0
        for place in places:
            if bases > HEXAMER_BASES:
                break
            bases += place.end - place.start
            for strand, truth in zip(truths.strands, truths.labels(place)):
                letters, turn = truths.letters(place), strand == "-"
                letters, truth = (reverse_complement(letters), truth[::-1]) if turn else (letters, truth)
                sequences.append(letters)
                labels.append(truth)
                for column, label in enumerate(truths.reader.labels):
                    covered = truth[:, column] == 1
                    starts = codon_starts(truths, place, strand) if label == "CDS" else covered
                    for total, counted in zip(counts[column], count_hexamers(letters, starts & covered, covered)):
                        total += counted
        self.scores = [HexamerScore(*each) for each in counts]
        self.thresholds = [
            fit_window(score, sequences, [truth[:, column] for truth in labels])
            for column, score in enumerate(self.scores)
        ]
        self.strands = truths.strands

    def __call__(self, letters: str) -> np.ndarray:
        """Which labels each base gets: `(strands, bases, labels)`, bool, in the direction of the strand `+`."""
        found = []
        for strand in self.strands:
            given = letters if strand == "+" else reverse_complement(letters)
            each = [score(given) >= threshold for score, threshold in zip(self.scores, self.thresholds)]
            found.append(np.stack(each, -1)[:: 1 if strand == "+" else -1])
        return np.stack(found)


def codon_starts(truths: Truths, place: Place, strand: str) -> np.ndarray:
    """Where codons of the transcripts of a place begin, bool, `(bases,)`, in the direction of the strand."""
    size = place.end - place.start
    starts = np.zeros(size, bool)
    for transcript in truths.transcripts(place):
        if truths.reader.stranded and transcript.strand != strand:
            continue
        parts = [(start - place.start, end - place.start) for start, end in transcript.cds]
        if strand == "-":
            parts = [(size - end, size - start) for start, end in parts[::-1]]
        coding = np.concatenate([np.arange(start, end) for start, end in parts])
        starts[coding[transcript.phase :: 3]] = True
    return starts


def count_bases(called: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Hits, false alarms and misses of each label, `(labels, 3)`, of `(strands, bases, labels)`."""
    axes, called = (0, 1), called.astype(bool)
    return np.stack(
        [
            (called & (truth == 1)).sum(axes),
            (called & (truth == 0)).sum(axes),
            (~called & (truth == 1)).sum(axes),
        ],
        -1,
    )


def count_transcripts(found: Sequence[Transcript], truth: Sequence[Transcript]) -> dict[str, np.ndarray]:
    """Hits, false alarms and misses of coding exons, both ends of which must be right, and of genes, one transcript of
    which must have all its coding exons right."""
    exons = [{(each.strand, *part) for each in side for part in each.cds} for side in (found, truth)]
    genes: dict[str, set] = {}
    for each in truth:
        genes.setdefault(each.gene, set()).add((each.strand, each.cds))
    chains = {(each.strand, each.cds) for each in found}
    right = sum(bool(chains & each) for each in genes.values())
    known = set().union(*genes.values()) if genes else set()
    return {
        EXON: np.array([len(exons[0] & exons[1]), len(exons[0] - exons[1]), len(exons[1] - exons[0])]),
        GENE: np.array([right, len(chains - known), len(genes) - right]),
    }


def f1_of_counts(counts: np.ndarray) -> Pooled:
    """F1 of summed counts, `(units, 3)`: NaN where there is nothing to find and nothing was found."""

    def compute(weights: np.ndarray) -> np.ndarray:
        hits, alarms, misses = (weights @ counts).T
        with np.errstate(invalid="ignore"):
            return 2 * hits / (2 * hits + alarms + misses)

    return Pooled(len(counts), compute)


def measured_f1(
    labels: Sequence[str], bases: Mapping[str, np.ndarray], wholes: Mapping[str, Mapping[str, np.ndarray]]
) -> tuple[dict, dict[str, Metric]]:
    """What `write_results` takes of counts.

    Args:
        labels: Their names.
        bases: By condition `(units, labels, 3)`, see `count_bases`.
        wholes: By condition and metric `(units, 3)`, see `count_transcripts`.
    """
    measured, metrics = {}, {"macro_f1": Metric("macro F1 by base")}
    for condition, counts in bases.items():
        each = {f"f1_{label}": f1_of_counts(counts[:, column]) for column, label in enumerate(labels)}
        metrics |= {f"f1_{label}": Metric(f"F1 of {label} by base") for label in labels}
        measured[condition] = ({"macro_f1": _mean(list(each.values()))} if len(each) > 1 else {}) | each
        for name, whole in wholes.get(condition, {}).items():
            measured[condition][name] = f1_of_counts(whole)
    metrics |= {EXON: Metric("F1 of coding exons"), GENE: Metric("F1 of genes")}
    return measured, metrics


def _mean(metrics: list[Pooled]) -> Pooled:
    def compute(weights: np.ndarray) -> np.ndarray:
        return np.mean([metric.compute(weights) for metric in metrics], axis=0)

    return Pooled(metrics[0].units, compute)


def exchange(predictions: Sequence[np.ndarray], number: int, bases: int) -> np.ndarray:
    """The prediction of the locus after this one, `(strands, bases, labels)`, repeated or cut to its length."""
    other = predictions[(number + 1) % len(predictions)]
    return np.take(other, np.arange(bases) % other.shape[1], axis=1)


__all__ = [
    "EXCHANGED",
    "HEXAMER",
    "LABEL_CONDITIONS",
    "LOCUS",
    "POSITIVE",
    "REVERSED",
    "HexamerBaseline",
    "Truths",
    "codon_starts",
    "count_bases",
    "count_transcripts",
    "exchange",
    "f1_of_counts",
    "measured_f1",
]
