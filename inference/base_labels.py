"""Probabilities of the labels of each base, as a model that labels bases tells them."""

from collections.abc import Sequence

import numpy as np
import torch
from transformers import PreTrainedModel

from textgenome.data.sequences import reverse_complement
from textgenome.inference.generation import evaluation_mode
from textgenome.processing.processing_textgenome_dna import TextGenomeDNAProcessor


@torch.no_grad()
def label_bases(
    model: PreTrainedModel, processor: TextGenomeDNAProcessor, sequences: Sequence[str]
) -> list[np.ndarray]:
    """Label the bases of sequences, in one batch.

    Args:
        model: A `TextGenomeDNAForTokenClassification`.
        processor: Its processor.
        sequences: In the letters A, C, G, T and N, each at most as long as the encoder reads.

    Returns:
        For each sequence the probabilities of the labels, `(bases, labels)`, float32.
    """
    inputs = processor(list(sequences), return_tensors="pt").to(model.device)
    with evaluation_mode(model):
        logits = model(**inputs).logits
    single = model.config.problem_type == "single_label_classification"
    probabilities = (logits.softmax(-1) if single else logits.sigmoid()).cpu().numpy()
    return [each[: len(sequence)] for each, sequence in zip(probabilities, sequences)]


def label_strands(
    model: PreTrainedModel, processor: TextGenomeDNAProcessor, sequences: Sequence[str]
) -> list[np.ndarray]:
    """The labels of both strands, float16: those of `+`, and after them, if the model is `stranded`, those of `-`.

    They are 0 where there is no letter but N.

    Returns:
        For each sequence `(bases, labels)` or `(bases, 2 * labels)`, in the direction of the strand `+`.
    """
    found = label_bases(model, processor, sequences)
    if model.config.stranded:
        turned = label_bases(model, processor, list(map(reverse_complement, sequences)))
        found = [np.concatenate([one, other[::-1]], -1) for one, other in zip(found, turned)]
    letters = [np.frombuffer(sequence.encode(), np.uint8) != ord("N") for sequence in sequences]
    return [(each * known[:, None]).astype(np.float16) for each, known in zip(found, letters)]


def label_thresholds(config) -> list[float]:
    """The probability from which on a base has a label, for each label: those that training chose, or 0.5."""
    return config.label_thresholds or [0.5] * config.num_labels


__all__ = ["label_bases", "label_strands", "label_thresholds"]
