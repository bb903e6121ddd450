"""Batched generation."""

from itertools import chain

import torch
from tqdm import tqdm
from transformers import PreTrainedModel

from textgenome.processing.processing_textgenome import TextGenomeProcessor


@torch.no_grad()
def generate(
    model: PreTrainedModel,
    processor: TextGenomeProcessor,
    conversations: list[list[dict]],
    batch_size: int = 64,
    enable_thinking: bool = True,
    **generation_options,
) -> list[str]:
    """Continue conversations, greedily unless the options say otherwise, longest prompts first.

    Args:
        model: The fused model.
        processor: Its processor.
        conversations: Each ends where the assistant is to speak.
        batch_size: Conversations at a time.
        enable_thinking: Whether the assistant reasons first; without, it continues an empty think block.
        generation_options: For `model.generate`, such as `max_new_tokens`.

    Returns:
        What the assistant says to each, without special tokens but with its think block.
    """
    was_training = model.training
    model.eval()
    dna = [sum(map(len, chain(*processor.dna_of(messages)))) for messages in conversations]
    order = sorted(range(len(conversations)), key=lambda i: -dna[i])
    texts = [""] * len(conversations)
    options = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None, **generation_options}
    for start in tqdm(range(0, len(order), batch_size), desc="Generating", unit="batch", disable=None):
        rows = order[start : start + batch_size]
        inputs = processor.apply_chat_template(
            [conversations[i] for i in rows],
            add_generation_prompt=True,
            enable_thinking=enable_thinking,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding_side": "left"},
        ).to(model.device)
        outputs = model.generate(**inputs, **options)[:, inputs["input_ids"].shape[1] :]
        for i, ids in zip(rows, outputs):
            texts[i] = processor.tokenizer.decode(ids, skip_special_tokens=False)
    for token in (processor.tokenizer.pad_token, processor.tokenizer.eos_token):
        texts = [text.split(token)[0] for text in texts]
    model.train(was_training)
    return texts


__all__ = ["generate"]
