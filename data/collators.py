"""Rows to training batches."""

from collections.abc import Mapping

import torch
from transformers import BatchFeature

from textgenome.data.labels import encode_labels, row_label, sequences_of
from textgenome.processing.processing_textgenome import TextGenomeProcessor
from textgenome.processing.processing_textgenome_dna import TextGenomeDNAProcessor


class TextGenomeCollator:
    """Collates conversations into a batch with labels.

    Labels are the token ids inside the assistant's turns, from the end of the prompt up to and including the end of
    the turn, and -100 everywhere else.

    Args:
        processor (`TextGenomeProcessor`): The processor of the fused model.
        padding_side (`str`, *optional*, defaults to `"right"`): `right` for training, `left` to continue the text.

    Example:

        turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Answer: none"}]
        batch = TextGenomeCollator(processor)([{"messages": turns}])
        batch["labels"]  # (1, length)
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
            return_tensors="np",  # lists become arrays, and these tensors, faster than lists become tensors
            return_assistant_tokens_mask=True,
            processor_kwargs={"padding_side": self.padding_side},
        ).convert_to_tensors("pt")
        assistant = batch.pop("assistant_masks").bool()
        batch["labels"] = batch["input_ids"].where(assistant, torch.tensor(-100))
        return batch


class TextGenomeDNACollator:
    """Collates rows of a table into a batch for a head on sequences or pairs.

    Args:
        processor (`TextGenomeDNAProcessor`): The processor of the model.
        label2id (`dict[str, int]`): The index of each class or label.
        problem_type (`str`, *optional*): The `problem_type` of the model's configuration; None is one class per row.

    Example:

        collator = TextGenomeDNACollator(dna_processor, {"benign": 0, "pathogenic": 1})
        batch = collator([{"sequence": "ACGT", "label": "benign"}])
        batch["dna_input_ids"]  # (1, 1, 4)
    """

    def __init__(self, processor: TextGenomeDNAProcessor, label2id: dict[str, int], problem_type: str | None = None):
        self.processor = processor
        self.label2id = label2id
        self.problem_type = problem_type

    def __call__(self, rows: list[Mapping]) -> BatchFeature:
        """Collate rows with `sequence`, or `reference_sequence` and `variant_sequence`; and `answer` or `label`.

        Where rows have `dna_vectors`, what a frozen encoder has made of them, these are taken in place of the DNA.

        Returns:
            `dna_input_ids` and `dna_attention_mask` of shape `(batch, 1, dna_length)`, of pairs `(batch, 2,
            dna_length)`, int64; and `labels`, see `encode_labels`.
        """
        if "dna_vectors" in rows[0]:
            batch = BatchFeature({"dna_vectors": torch.stack([row["dna_vectors"] for row in rows])})
        else:
            batch = self.processor(*zip(*map(sequences_of, rows)), return_tensors="pt")
        batch["labels"] = encode_labels(list(map(row_label, rows)), self.label2id, self.problem_type)
        return batch


__all__ = ["TextGenomeCollator", "TextGenomeDNACollator"]
