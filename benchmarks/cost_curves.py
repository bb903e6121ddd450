"""Cost curves, each with its exponent: a training step against bases for each projector, HyenaDNA, and evaluation.

Processor seconds at tiny sizes on a CPU: what counts is how they grow. Example run, about a minute on one core:

    OMP_NUM_THREADS=1 python benchmarks/cost_curves.py
"""

import argparse
import random
import time
from collections.abc import Callable

import torch
from encoders import exponent
from transformers import Qwen3Config

from textgenome import TextGenomeConfig, TextGenomeForConditionalGeneration
from textgenome.configuration.configuration_textgenome import build_dna_config
from textgenome.data import TextGenomeCollator
from textgenome.inference import generate
from textgenome.modeling_dna_encoder import build_dna_encoder
from textgenome.processing import (
    build_dna_tokenizer,
    build_processor,
    train_text_tokenizer,
)
from textgenome.training.trainer import keep_supervised


PROJECTORS = ("linear", "pooled", "resampler")
ROWS = (32, 128, 512)


def build(projector: str, longest: int):
    """A tiny fused model and its processor."""
    dna_tokenizer = build_dna_tokenizer("hyenadna", longest)
    processor = build_processor(train_text_tokenizer([], 0), dna_tokenizer, longest, projector_type=projector)
    tokens = {name: getattr(processor, name) for name in ("dna_token_id", "dna_start_token_id", "dna_end_token_id")}
    text = Qwen3Config(
        vocab_size=len(processor.tokenizer),
        hidden_size=64,
        intermediate_size=192,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=2 * longest,
    )
    dna = {
        "model_type": "hyenadna",
        "d_model": 32,
        "d_inner": 64,
        "n_layer": 2,
        "max_seq_len": longest,
    }
    config = TextGenomeConfig(
        text_config=text,
        dna_config=build_dna_config(dna),
        projector_type=projector,
        **tokens,
    )
    return TextGenomeForConditionalGeneration(config), processor


def ask(bases: int, seed: int = 0) -> list[dict]:
    dna = "".join(random.Random(seed).choices("ACGT", k=bases))
    return [
        {
            "role": "user",
            "content": [
                {"type": "dna", "dna": dna},
                {"type": "text", "text": "Which?"},
            ],
        }
    ]


def seconds(run: Callable[[], object]) -> float:
    started = time.process_time()
    run()
    return time.process_time() - started


def show(name: str, sizes: list[int], measure: Callable[[int], float]) -> None:
    """A row of the table. The first measurement, which warms up, is thrown away."""
    measure(sizes[0])
    found = [measure(size) for size in sizes]
    columns = " | ".join(f"{size:,}: {each:.3g} s" for size, each in zip(sizes, found))
    print(f"| {name} | {columns} | {exponent(found, sizes):.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--bases",
        type=int,
        nargs="+",
        default=[128, 512, 2048, 8192, 32_768],
        help="Of one sequence.",
    )
    parser.add_argument(
        "--rows",
        type=int,
        nargs="+",
        default=ROWS,
        help="To evaluate, in batches of 32.",
    )
    args = parser.parse_args()
    torch.manual_seed(0)
    answer = {
        "role": "assistant",
        "content": [{"type": "text", "text": "Answer: this one"}],
    }
    for projector in PROJECTORS:
        model, processor = build(projector, max(args.bases))
        collate = TextGenomeCollator(processor)

        def step(bases: int, model=model, collate=collate) -> float:
            batch = keep_supervised(collate([{"messages": [*ask(bases), answer]}]))
            return seconds(lambda: model.train()(**batch).loss.backward())

        show(f"training step, {projector}", args.bases, step)
    dna = {
        "model_type": "hyenadna",
        "d_model": 32,
        "d_inner": 64,
        "n_layer": 2,
        "max_seq_len": max(args.bases),
    }
    encoder = build_dna_encoder(build_dna_config(dna)).eval()
    with torch.inference_mode():
        show(
            "HyenaDNA",
            args.bases,
            lambda bases: seconds(lambda: encoder(torch.full((1, bases), 7))),
        )
    model, processor = build("linear", 128)
    show(
        "evaluation, one token",
        args.rows,
        lambda rows: seconds(
            lambda: generate(
                model,
                processor,
                [ask(64, i) for i in range(rows)],
                batch_size=32,
                max_new_tokens=1,
            )
        ),
    )


if __name__ == "__main__":
    main()
