"""Building a processor: from pretrained tokenizers, or from nothing but text."""

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerBase, Qwen2Tokenizer

from textgenome.processing.processing_dna import DNA_WINDOW
from textgenome.processing.processing_textgenome import TextGenomeProcessor


DNA_TOKENS = ("<|dna_start|>", "<|dna_pad|>", "<|dna_end|>")
QWEN = Qwen2Tokenizer().backend_tokenizer


def chat_template(reasoning_format: str = "think") -> str:
    """The chat template: Qwen3's ChatML with DNA blocks.

    Args:
        reasoning_format: `think` puts the reasoning between think tags; `plain` writes it before the answer, as
            BioReason does.
    """
    template = Path(__file__).with_name("chat_template.jinja").read_text(encoding="utf-8").rstrip("\n")
    return template.replace('reasoning_format = "think"', f'reasoning_format = "{reasoning_format}"', 1)


def build_processor(
    tokenizer: PreTrainedTokenizerBase,
    dna_tokenizer: PreTrainedTokenizerBase,
    dna_window: int = DNA_WINDOW,
    reasoning_format: str = "think",
    **projector,
) -> TextGenomeProcessor:
    """Join the tokenizer of a language model, to which the DNA tokens are added, and one for DNA.

    Args:
        tokenizer: Of the language model. It is changed.
        dna_tokenizer: Of the DNA encoder.
        dna_window: Most bases of each window of a variant.
        reasoning_format: See `chat_template`.
        projector: What `TextGenomeProcessor` and `TextGenomeConfig` must agree on: `projector_type` and the like, and
            `bases_per_state` of an encoder whose states cover several bases.

    Raises:
        ValueError: If the language model does not know ChatML, Qwen3's way of marking turns.
    """
    missing = [token for token in ("<|im_start|>", "<|im_end|>") if token not in tokenizer.get_vocab()]
    if missing:
        raise ValueError(
            f"The tokenizer does not know {' and '.join(missing)}, with which the chat template marks turns: choose a "
            "language model that was trained on ChatML, such as Qwen3."
        )
    tokenizer.add_special_tokens({"extra_special_tokens": list(DNA_TOKENS)}, replace_extra_special_tokens=False)
    tokenizer.chat_template = None  # the processor has the one that knows DNA
    return TextGenomeProcessor(
        tokenizer, dna_tokenizer, chat_template=chat_template(reasoning_format), dna_window=dna_window, **projector
    )


def train_text_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerBase:
    """Train a byte-level BPE tokenizer with Qwen3's special tokens. Any text encodes, bytes being its alphabet.

    Args:
        texts: What to learn the merges from.
        vocab_size: Most entries, special tokens not counted.
    """
    bpe = Tokenizer(models.BPE())
    # Split as it will be when encoding, or merges are learnt that never apply.
    bpe.normalizer, bpe.pre_tokenizer = QWEN.normalizer, QWEN.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    bpe.train_from_iterator(texts, trainer)
    model = json.loads(bpe.to_str())["model"]
    return Qwen2Tokenizer(
        vocab=model["vocab"],
        merges=[tuple(merge) for merge in model["merges"]],
        unk_token=None,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=["<|im_start|>", "<think>", "</think>"],
    )


__all__ = ["DNA_TOKENS", "build_processor", "chat_template", "train_text_tokenizer"]
