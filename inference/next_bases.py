"""How well a causal DNA model predicts the next base of given sequences: the check of the authors of Evo2."""

from pathlib import Path

import torch
from torch.nn import functional as F
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from textgenome.data.tables import read_text, split_csv
from textgenome.processing.processing_dna import normalize_dna


def read_prompts(path: str | Path) -> list[str]:
    """The sequences in the first column of a CSV file, whose first line is a header.

    Raises:
        ValueError: If there are none, or one is not DNA; the message names the line.
    """
    sequences = []
    for number, (sequence, *_) in enumerate(list(split_csv(read_text(path)))[1:], start=2):
        try:
            sequences.append(normalize_dna(sequence))
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
    if not sequences:
        raise ValueError(f"{path}: there is no sequence below the header.")
    return sequences


@torch.no_grad()
def measure_next_bases(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, sequences: list[str]
) -> tuple[float, float]:
    """Predict each base of sequences from those before it.

    Args:
        model: A causal DNA model in evaluation mode.
        tokenizer: Its tokenizer, of one token a base.
        sequences: Of two bases or more each.

    Returns:
        The mean over sequences of their mean cross-entropy in nats, and of their share of right bases.
    """
    losses, shares = [], []
    for sequence in sequences:
        ids = tokenizer(sequence, return_tensors="pt")["input_ids"].to(model.device)
        logits, targets = model(ids).logits[0, :-1].float(), ids[0, 1:]
        losses.append(F.cross_entropy(logits, targets).item())
        shares.append((logits.argmax(-1) == targets).float().mean().item())
    return sum(losses) / len(losses), sum(shares) / len(shares)


__all__ = ["measure_next_bases", "read_prompts"]
