"""How far the probabilities of labels move with the size of the batch, in bfloat16 and in float32.

The model has random weights and a head that is as sure of itself as a trained one. Example run, half a minute:

    python benchmarks/score_precision.py
"""

import random

import torch
from transformers import set_seed

from textgenome import TextGenomeConfig, TextGenomeForConditionalGeneration
from textgenome.data.prompts import as_prompt
from textgenome.inference.scoring import score_labels
from textgenome.processing import build_dna_tokenizer, build_processor, train_text_tokenizer


ROWS, LABELS, HIDDEN = 24, list("abcd"), 512


def main() -> None:
    dna_tokenizer = build_dna_tokenizer("hyenadna", model_max_length=512)
    processor = build_processor(train_text_tokenizer(["What is it? abcd"], 300), dna_tokenizer)
    rng = random.Random(0)
    rows = [
        {
            "question": "What " + "is it " * (number % 7),
            "reference_sequence": "".join(rng.choices("ACGT", k=20 + 3 * number)),
            "variant_sequence": "".join(rng.choices("ACGT", k=20 + 3 * number)),
        }
        for number in range(ROWS)
    ]
    prompts = [as_prompt(row) for row in rows]
    model = build_model(processor)
    for dtype in (torch.float32, torch.bfloat16):
        model.to(dtype)
        alone, together = (probabilities(model, processor, prompts, size) for size in (1, ROWS))
        moved = (alone - together).abs()
        print(f"{dtype}: a batch of {ROWS} and batches of 1 differ by {moved.mean():.2g}, at most {moved.max():.2g}")


def build_model(processor) -> TextGenomeForConditionalGeneration:
    set_seed(0)
    text = {"hidden_size": HIDDEN, "intermediate_size": 2 * HIDDEN, "num_hidden_layers": 6, "vocab_size": 300}
    text |= {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": HIDDEN // 4, "initializer_range": 0.08}
    text["vocab_size"] = len(processor.tokenizer)
    dna = {"d_model": 64, "d_inner": 64, "n_layer": 2, "max_seq_len": 512, "vocab_size": len(processor.dna_tokenizer)}
    ids = ("dna_token_id", "dna_start_token_id", "dna_end_token_id")
    config = TextGenomeConfig(text_config=text, dna_config=dna, **{name: getattr(processor, name) for name in ids})
    model = TextGenomeForConditionalGeneration(config).eval()
    torch.nn.init.normal_(model.lm_head.weight, std=8 / HIDDEN**0.5)
    return model


def probabilities(model, processor, prompts: list, batch_size: int) -> torch.Tensor:
    scores = dict(row for batch in score_labels(model, processor, prompts, LABELS, batch_size) for row in batch)
    return torch.tensor([[scores[i][label] for label in LABELS] for i in range(ROWS)]).exp()


if __name__ == "__main__":
    main()
