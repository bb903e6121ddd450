"""What a head on DNA says of sequences or pairs, in batches."""

from collections.abc import Iterator, Mapping

import torch
from torch.nn import functional as F
from transformers import PreTrainedModel

from textgenome.data.labels import REGRESSION, SEVERAL, sequences_of
from textgenome.genome.progress import by_batch
from textgenome.inference.generation import evaluation_mode
from textgenome.processing.processing_textgenome_dna import TextGenomeDNAProcessor


def classify(
    model: PreTrainedModel, processor: TextGenomeDNAProcessor, rows: list[Mapping], **options
) -> list[dict[str, float]]:
    """What the model says of each row, by label. See `classify_batches`, which has the same arguments."""
    scores = dict(row for batch in classify_batches(model, processor, rows, **options) for row in batch)
    return [scores[i] for i in range(len(rows))]


@torch.no_grad()
def classify_batches(
    model: PreTrainedModel,
    processor: TextGenomeDNAProcessor,
    rows: list[Mapping],
    batch_size: int = 64,
    are_windows: bool = False,
    description: str | None = "Classifying",
) -> Iterator[list[tuple[int, dict[str, float]]]]:
    """What the model says of each row, the longest rows first.

    Args:
        model: A `TextGenomeDNAForSequenceClassification`.
        processor: Its processor.
        rows: With `sequence`, or `reference_sequence` and `variant_sequence`, as the model reads; other columns are
            not read. In place of text there may be what gives it when it is sliced, such as `GenomeSequence`.
        batch_size: Rows at a time.
        are_windows: The sequences of pairs are windows already: they are not cut, and those of a row may be equal, as
            in a control that shows the reference twice.
        description: Of the progress bar; None shows none.

    Yields:
        For each of a batch: its place in `rows`, and by label the natural logarithm of its probability; of a
        regression the value.
    """
    labels = [model.config.id2label[i] for i in range(model.config.num_labels)]
    order = sorted(range(len(rows)), key=lambda i: -sum(map(len, sequences_of(rows[i]))))
    with evaluation_mode(model):
        batches = [order[start : start + batch_size] for start in range(0, len(rows), batch_size)]
        for places in by_batch(batches, len(rows), description):
            # A slice: a row may hold what reads a stretch of a genome only then.
            columns = zip(*([each[:] for each in sequences_of(rows[i])] for i in places))
            inputs = processor(*columns, are_windows=are_windows, return_tensors="pt").to(model.device)
            scores = as_scores(model(**inputs).logits, model.config.problem_type)
            yield [(i, dict(zip(labels, row))) for i, row in zip(places, scores.tolist())]


def as_scores(logits: torch.Tensor, problem_type: str | None) -> torch.Tensor:
    """Natural logarithms of probabilities, of classes or of each of several labels; of a regression the values."""
    if problem_type == REGRESSION:
        return logits
    return F.logsigmoid(logits) if problem_type == SEVERAL else logits.log_softmax(-1)


__all__ = ["as_scores", "classify", "classify_batches"]
