"""Batched prediction by the DNA-only model."""

from collections.abc import Mapping

import torch
from tqdm import tqdm
from transformers import PreTrainedModel

from textgenome.processing.processing_textgenome_dna import TextGenomeDNAProcessor


@torch.no_grad()
def classify(
    model: PreTrainedModel,
    processor: TextGenomeDNAProcessor,
    rows: list[Mapping],
    batch_size: int = 64,
    are_windows: bool = False,
) -> list[dict[str, float]]:
    """How likely each answer is for each row.

    Args:
        model: A `TextGenomeForSequenceClassification`.
        processor: Its processor.
        rows: With `reference_sequence` and `variant_sequence`; other columns are not read.
        batch_size: Rows at a time.
        are_windows: The sequences are windows already: they are not cut, and those of a row may be equal, as in a
            control that shows the reference twice.

    Returns:
        For each row the natural logarithm of the probability of each label.
    """
    was_training = model.training
    model.eval()
    labels = [model.config.id2label[i] for i in range(model.config.num_labels)]
    predictions = []
    for start in tqdm(range(0, len(rows), batch_size), desc="Classifying", unit="batch", disable=None):
        batch = rows[start : start + batch_size]
        inputs = processor(
            [row["reference_sequence"] for row in batch],
            [row["variant_sequence"] for row in batch],
            are_windows=are_windows,
            return_tensors="pt",
        ).to(model.device)
        logits = model(**inputs).logits
        predictions += [dict(zip(labels, row)) for row in logits.log_softmax(-1).tolist()]
    model.train(was_training)
    return predictions


__all__ = ["classify"]
