"""Pictures of held-out loci: genes as boxes, and below them what labels there are and what the model says."""

from collections.abc import Sequence

import numpy as np
from transformers.utils import logging

from textgenome.data.windows import Place
from textgenome.evaluation.base_labels import Truths
from textgenome.evaluation.report_parts import Figure, best_median_worst
from textgenome.genome import plot
from textgenome.genome.transcripts import Transcript


logger = logging.get_logger(__name__)

MOST_LANES = 8  # of a picture


def draw_loci(
    truths: Truths, units: Sequence[Place], predictions: Sequence[np.ndarray], counts: np.ndarray
) -> list[Figure]:
    """The best, the median and the worst held-out locus by F1 of all labels.

    Args:
        truths: Letters and labels.
        units: The loci.
        predictions: The probabilities of each, `(strands, bases, labels)`.
        counts: Of the model, `(units, labels, 3)`, see `count_bases`.

    Returns:
        Pictures for the report; none, with a warning, if matplotlib is missing.
    """
    if plot.Figure is None:
        logger.warning("The report has no pictures: they need matplotlib, pip install 'textgenome[genome]'.")
        return []
    hits, alarms, misses = counts.sum(1).T
    labelled = np.flatnonzero(hits + misses)
    f1 = 2 * hits / np.maximum(2 * hits + alarms + misses, 1)
    order = labelled[np.argsort(-f1[labelled], kind="stable")].tolist()
    figures = []
    for name, number in best_median_worst(order).items():
        unit, predicted = units[number], predictions[number].astype(np.float32)
        truth = truths.labels(unit).astype(np.float32)
        truth[truth < 0] = np.nan
        strands = truths.strands if truths.reader.stranded else " "
        lanes = [
            plot.Lane(f"{label} {strand}", truth[row, :, column], predicted[row, :, column], top=1.0)
            for column, label in enumerate(truths.reader.labels)
            for row, strand in enumerate(strands)
        ]
        picture = plot.as_png(plot.plot_tracks(unit.interval, lanes[:MOST_LANES], genes_of(truths, unit)))
        caption = f"{unit}, F1 by base {f1[number]:.3f}. Labels above the probabilities that the model gives them."
        figures.append(Figure(f"{name} held-out locus", picture, caption, wide=True))
    return figures


def genes_of(truths: Truths, place: Place) -> list[Transcript]:
    """The transcripts on the contig of a place."""
    annotations = truths.reader.annotations
    found = (annotation.transcripts(names[place.contig]) for annotation, names in annotations if place.contig in names)
    return [each for part in found for each in part if each.exons]


__all__ = ["draw_loci"]
