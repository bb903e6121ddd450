"""Does the model use the DNA? Its accuracy as is, beside that with other DNA and with none."""

import random
from collections.abc import Mapping

from transformers import PreTrainedModel

from textgenome.evaluation.extraction import extract_answer
from textgenome.evaluation.generation import generate
from textgenome.processing.conversations import row_to_messages
from textgenome.processing.processing_textgenome import TextGenomeProcessor


PAIR = ("reference_sequence", "variant_sequence")


def exchange_dna(rows: list[Mapping], seed: int = 0) -> list[dict]:
    """Give each row the pair of another row; every pair is used once.

    Args:
        rows: At least two, with `reference_sequence` and `variant_sequence`.
        seed: Which row gives to which.
    """
    order = list(range(len(rows)))
    random.Random(seed).shuffle(order)
    donors = dict(zip(order, order[1:] + order[:1]))
    return [{**row, **{column: rows[donors[i]][column] for column in PAIR}} for i, row in enumerate(rows)]


def compare_controls(
    model: PreTrainedModel,
    processor: TextGenomeProcessor,
    rows: list[Mapping],
    batch_size: int = 64,
    seed: int = 0,
    **generation_options,
) -> dict[str, float]:
    """Accuracy by generation: as is, with the DNA exchanged between rows, and with the DNA removed.

    An answer is right if it equals the truth up to case, and a row without an answer is wrong.

    Returns:
        The three accuracies between 0 and 1.
    """
    conditions = {
        "as is": (rows, "variant"),
        "DNA exchanged": (exchange_dna(rows, seed), "variant"),
        "DNA removed": (rows, "none"),
    }
    accuracies = {}
    for name, (given, dna) in conditions.items():
        prompts = [row_to_messages(row, dna=dna, dna_window=processor.dna_window)[:-1] for row in given]
        texts = generate(model, processor, prompts, batch_size=batch_size, **generation_options)
        right = [extract_answer(text) == extract_answer(f"Answer: {row['answer']}") for text, row in zip(texts, rows)]
        accuracies[name] = sum(right) / len(right)
    return accuracies


__all__ = ["compare_controls", "exchange_dna"]
