"""Conversations to training batches."""

from collections.abc import Mapping

import torch
from transformers import BatchFeature

from textgenome.processing.processing_textgenome import TextGenomeProcessor


class TextGenomeCollator:
    """Makes a batch with labels of conversations.

    Labels are the token ids inside the assistant's turns, from the end of the prompt up to and including the end of
    the turn, and -100 everywhere else.

    Args:
        processor: The processor.
        padding_side: `right` for training, `left` to continue the text.
    """

    def __init__(self, processor: TextGenomeProcessor, padding_side: str = "right"):
        self.processor = processor
        self.padding_side = padding_side

    def __call__(self, rows: list[Mapping]) -> BatchFeature:
        """Collate rows whose column `messages` is a conversation.

        Returns:
            `input_ids`, `attention_mask`, `labels` of shape `(batch, length)`; with DNA also `dna_input_ids` and
            `dna_attention_mask` of shape `(batch, sequences, dna_length)`; all int64.
        """
        batch = self.processor.apply_chat_template(
            [row["messages"] for row in rows],
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            return_assistant_tokens_mask=True,
            processor_kwargs={"padding_side": self.padding_side},
        )
        assistant = batch.pop("assistant_masks").bool()
        batch["labels"] = batch["input_ids"].where(assistant, torch.tensor(-100))
        return batch


__all__ = ["TextGenomeCollator"]
