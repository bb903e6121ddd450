"""Signals along sequences, as a model of tracks predicts them."""

from collections.abc import Sequence

import numpy as np
import torch
from transformers import PreTrainedModel

from textgenome.data.sequences import reverse_complement
from textgenome.inference.generation import evaluation_mode
from textgenome.processing.processing_textgenome_dna import TextGenomeDNAProcessor


def predict_tracks(
    model: PreTrainedModel,
    processor: TextGenomeDNAProcessor,
    sequences: Sequence[str],
    average_strands: bool = False,
) -> list[np.ndarray]:
    """Predict the tracks of sequences, in one batch.

    Args:
        model: A `TextGenomeDNAForTrackPrediction`.
        processor: Its processor.
        sequences: In the letters A, C, G, T and N, each at most as long as the encoder reads.
        average_strands: Predict the reverse complement as well, and take the mean. Tracks of strands are swapped as
            the model says.

    Returns:
        For each sequence `(bins, tracks)`, float32, in the units of the signals that it was trained on.
    """
    resolution = model.config.track_resolution
    given = _predict(model, processor, sequences)
    if not average_strands:
        return given
    # Filled up to whole bins, so that those of both strands are the same.
    whole = [sequence + "N" * (-len(sequence) % resolution) for sequence in sequences]
    turned = _predict(model, processor, [reverse_complement(sequence) for sequence in whole])
    partners = model.config.track_partners or range(model.config.num_labels)
    return [(one + other[::-1, list(partners)]) / 2 for one, other in zip(given, turned)]


@torch.no_grad()
def _predict(model: PreTrainedModel, processor: TextGenomeDNAProcessor, sequences: Sequence[str]) -> list[np.ndarray]:
    inputs = processor(list(sequences), return_tensors="pt").to(model.device)
    with evaluation_mode(model):
        predicted = model(**inputs).logits.cpu().numpy()
    resolution = model.config.track_resolution
    return [bins[: -(-len(sequence) // resolution)] for bins, sequence in zip(predicted, sequences)]


__all__ = ["predict_tracks"]
