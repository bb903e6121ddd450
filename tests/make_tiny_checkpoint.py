"""Build the tiny random checkpoint that the tests load, and its golden logits.

Example run, after a change that is meant to change what a checkpoint looks like:

    python tests/make_tiny_checkpoint.py
"""

import torch
from conftest import TINY_CHECKPOINT, conversation, random_dna
from safetensors.torch import save_file
from transformers import set_seed

from textgenome import TextGenomeConfig, TextGenomeForConditionalGeneration
from textgenome.processing import build_dna_tokenizer, build_processor, train_text_tokenizer


TEXTS = [
    "Which disease does this variant cause? Answer: cancer",
    "system user assistant Step 1: The variant breaks it.",
]


def main() -> None:
    set_seed(0)
    tokenizer = train_text_tokenizer(TEXTS * 4, vocab_size=300)
    processor = build_processor(tokenizer, build_dna_tokenizer("hyenadna", model_max_length=256), dna_window=64)
    config = TextGenomeConfig(
        text_config={
            "model_type": "qwen3",
            "vocab_size": len(tokenizer),
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "max_position_embeddings": 1024,
            # Large, or the frozen head of so narrow a model could not make any token likely.
            "initializer_range": 0.5,
            "tie_word_embeddings": True,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        dna_config={"d_model": 16, "d_inner": 32, "n_layer": 2, "max_seq_len": 256, "initializer_range": 0.2},
        dna_token_id=processor.dna_token_id,
        dna_start_token_id=processor.dna_start_token_id,
        dna_end_token_id=processor.dna_end_token_id,
        initializer_range=0.2,
    )
    model = TextGenomeForConditionalGeneration(config).eval()
    model.save_pretrained(TINY_CHECKPOINT)
    processor.save_pretrained(TINY_CHECKPOINT)
    inputs = processor.apply_chat_template(
        conversation(random_dna(20), random_dna(33)), tokenize=True, return_dict=True, return_tensors="pt"
    )
    with torch.no_grad():
        logits = model(**inputs).logits
    save_file({**inputs, "logits": logits}, TINY_CHECKPOINT / "golden.safetensors")


if __name__ == "__main__":
    main()
