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
    if len(rows) < 2:
        raise ValueError("It takes two rows to exchange their DNA.")
    order = list(range(len(rows)))
    random.Random(seed).shuffle(order)
    donors = dict(zip(order, order[1:] + order[:1]))
    return [{**row, **{column: rows[donors[i]][column] for column in PAIR}} for i, row in enumerate(rows)]


def compare_controls(
    model: PreTrainedModel,
    processor: TextGenomeProcessor,
    rows: list[Mapping],
    dna: str = "variant",
    dna_truncation: str = "variant_window",
    batch_size: int = 64,
    seed: int = 0,
    **generation_options,
) -> dict[str, float]:
    """Accuracy by generation: as is, with the DNA exchanged between rows, and with the DNA removed.

    An answer is right if it equals the truth up to case; a row without an answer is wrong. Rows are asked in the way
    they train: those without reasoning behind an empty think block.

    Args:
        model: The fused model.
        processor: Its processor.
        rows: Rows with the five columns of `row_to_messages`.
        dna: How the model was trained; with `none` there is no DNA to exchange or remove.
        dna_truncation: How it was trained.
        batch_size: Rows at a time.
        seed: Which rows exchange their DNA.
        generation_options: For `model.generate`.

    Returns:
        The accuracies between 0 and 1 by the name of the condition.
    """
    conditions = {"as is": (rows, dna)}
    if dna != "none":
        conditions |= {"DNA exchanged": (exchange_dna(rows, seed), dna), "DNA removed": (rows, "none")}
    accuracies = {}
    for name, (given, shown) in conditions.items():
        options = {"dna": shown, "dna_truncation": dna_truncation, "dna_window": processor.dna_window}
        right = 0
        for thinks in (True, False):
            asked = [row for row in given if bool((row.get("reasoning") or "").strip()) == thinks]
            prompts = [row_to_messages(row, **options)[:-1] for row in asked]
            texts = generate(model, processor, prompts, batch_size, enable_thinking=thinks, **generation_options)
            answers = [extract_answer(text) for text in texts]
            truths = [extract_answer(f"Answer: {row['answer']}") for row in asked]
            right += sum(answer is not None and answer == truth for answer, truth in zip(answers, truths))
        accuracies[name] = right / len(rows)
    return accuracies


__all__ = ["compare_controls", "exchange_dna"]
