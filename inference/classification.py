"""Batched prediction by the DNA-only model."""

from collections.abc import Iterator, Mapping

import torch
from tqdm import tqdm
from transformers import PreTrainedModel

from textgenome.inference.generation import evaluation_mode
from textgenome.processing.processing_textgenome_dna import TextGenomeDNAProcessor


def classify(
    model: PreTrainedModel, processor: TextGenomeDNAProcessor, rows: list[Mapping], **options
) -> list[dict[str, float]]:
    """How likely each answer is for each row, as the natural logarithm of the probability of each label.

    The arguments are those of `classify_batches`.
    """
    scores = dict(row for batch in classify_batches(model, processor, rows, **options) for row in batch)
    return [scores[i] for i in range(len(rows))]


@torch.no_grad()
def classify_batches(
    model: PreTrainedModel,
    processor: TextGenomeDNAProcessor,
    rows: list[Mapping],
    batch_size: int = 64,
    are_windows: bool = False,
    description: str = "Classifying",
) -> Iterator[list[tuple[int, dict[str, float]]]]:
    """How likely each answer is for each row, the longest rows first.

    Args:
        model: A `TextGenomeDNAForSequenceClassification`.
        processor: Its processor.
        rows: With `reference_sequence` and `variant_sequence`; other columns are not read.
        batch_size: Rows at a time.
        are_windows: The sequences are windows already: they are not cut, and those of a row may be equal, as in a
            control that shows the reference twice.
        description: Of the progress bar.

    Yields:
        For each of a batch: its place in `rows`, and the natural logarithm of the probability of each label.
    """
    labels = [model.config.id2label[i] for i in range(model.config.num_labels)]
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i]["reference_sequence"] + rows[i]["variant_sequence"]))
    with evaluation_mode(model):
        for start in tqdm(range(0, len(rows), batch_size), desc=description, unit="batch", disable=None):
            places = order[start : start + batch_size]
            inputs = processor(
                [rows[i]["reference_sequence"] for i in places],
                [rows[i]["variant_sequence"] for i in places],
                are_windows=are_windows,
                return_tensors="pt",
            ).to(model.device)
            logits = model(**inputs).logits
            yield [(i, dict(zip(labels, row))) for i, row in zip(places, logits.log_softmax(-1).tolist())]


__all__ = ["classify", "classify_batches"]
