"""What a change of a base does to the answer of a model that writes text."""

from itertools import chain

import numpy as np
import torch
from transformers import PreTrainedModel

from textgenome.data.conversations import DNA_COLUMNS
from textgenome.data.prompts import as_prompt
from textgenome.inference.answers import split_output
from textgenome.inference.generation import evaluation_mode, generate
from textgenome.inference.gradients import follow, gradient_of_text
from textgenome.inference.mutagenesis import Scorer, Window, Windows
from textgenome.inference.scoring import check_labels, score_labels
from textgenome.processing.processing_textgenome import TextGenomeProcessor


def answer_scorer(
    model: PreTrainedModel,
    processor: TextGenomeProcessor,
    cut: Window,
    question: str | None,
    labels: list[str] | None,
    enable_thinking: bool | None,
    max_new_tokens: int,
) -> Scorer:
    """Score what the model writes about the unchanged pair or, with labels, each of them in the place of the answer.

    Raises:
        ValueError: If there is no question, no variant, one label only, or a label that cannot be scored.
    """
    if not question or not question.strip():
        raise ValueError("A model that writes text needs a question: give --question.")
    if len(cut.windows) != 2:
        raise ValueError("A model that writes text compares a pair: give --reference and --variant.")
    thinks = processor.reasons if enable_thinking is None else enable_thinking

    def prompts(batch: Windows) -> list[list[dict]]:
        return [as_prompt({"question": question, **dict(zip(DNA_COLUMNS, windows))}) for windows in batch]

    def write(batch: Windows) -> list[str]:
        options = {"enable_thinking": thinks, "max_new_tokens": max_new_tokens, "batch_size": len(batch)}
        return generate(model, processor, prompts(batch), description=None, **options)

    written = write([cut.windows])[0] if labels is None or thinks else None

    def gradient(window: Window, output: int) -> np.ndarray | None:
        text = written or f"Answer: {labels[output]}"
        return gradient_of_text(model, processor, prompts([window.windows])[0], text, thinks, window)

    if labels is None:
        answer = split_output(written)[1] or "what the model writes"

        def score_text(batch: Windows) -> list[list[float]]:
            with evaluation_mode(model), torch.no_grad():
                return follow(model, processor, prompts(batch), written, thinks)[:, None].tolist()

        return Scorer([answer], "ln probability of the text", score_text, gradient)

    if len(labels) < 2:
        raise ValueError("It takes at least two labels to choose from.")
    check_labels(labels, processor)

    def score_each(batch: Windows) -> list[list[float]]:
        texts = write(batch) if thinks else None
        found = score_labels(model, processor, prompts(batch), labels, len(batch), outputs=texts)
        scores = dict(chain.from_iterable(found))
        return [[scores[i][label] for label in labels] for i in range(len(batch))]

    return Scorer(labels, "ln probability among the labels", score_each, gradient)


__all__ = ["answer_scorer"]
