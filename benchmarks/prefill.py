"""Processor seconds of answering prompts of different lengths in a batch: read together, or read apart.

Example run, with a model of random weights:

    OMP_NUM_THREADS=1 python benchmarks/prefill.py --lengths 256 1024 4096 --max_new_tokens 32
"""

import argparse
import time

import torch
from training_step import add_sizes, build

from textgenome.data.rows import as_conversations, load_rows
from textgenome.inference import prefill
from textgenome.inference.generation import evaluation_mode, generate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_sizes(parser)
    parser.add_argument("--lengths", type=int, nargs="+", default=[256, 512, 1024, 2048, 4096], help="Of prompts.")
    parser.add_argument("--batch_size", type=int, default=8, help="Rows in a batch.")
    parser.add_argument("--max_new_tokens", type=int, nargs="+", default=[1, 32], help="Longest outputs.")
    args = parser.parse_args()
    torch.manual_seed(0)
    model, processor = build(args, as_conversations(load_rows(args.dataset_name, "train").select(range(64))))
    model.generation_config.eos_token_id = None  # random weights: each answer as long as it may be
    with evaluation_mode(model):
        for length in args.lengths:
            # The shortest has a tenth less, as rows of a table that are sorted by length.
            lengths = [length - length * row // (10 * args.batch_size) - 40 for row in range(args.batch_size)]
            prompts = []
            for each in lengths:
                sequences, left = divmod(each, args.dna_window)
                windows = ["ACGTTGCA" * args.dna_window] * sequences + ["ACGTTGCA" * args.dna_window] * (left > 0)
                sizes = [args.dna_window] * sequences + [left] * (left > 0)
                blocks = [{"type": "dna", "dna": dna[:size]} for dna, size in zip(windows, sizes)]
                prompts.append([{"role": "user", "content": [*blocks, {"type": "text", "text": "What?"}]}])
            for tokens in args.max_new_tokens:
                seconds, texts = [], []
                for prefill.LONG in (2**31, 0):
                    started = time.process_time()
                    texts.append(generate(model, processor, prompts, batch_size=len(prompts), max_new_tokens=tokens))
                    seconds.append(time.process_time() - started)
                alike = sum(map(str.__eq__, *texts))
                print(
                    f"{length:>6} tokens, {tokens:>4} new: {seconds[0]:.2f} -> {seconds[1]:.2f} s, "
                    f"{seconds[1] / seconds[0]:.2f} x; {alike} of {len(prompts)} alike",
                    flush=True,
                )


if __name__ == "__main__":
    main()
