"""Collated rows per second of processor time on real KEGG rows, with the Qwen3 tokenizer and windows of 2,048 bases.

Example run:

    python benchmarks/collator.py --dataset_name wanglab/kegg --tokenizer Qwen/Qwen3-1.7B
"""

import argparse
import time

from transformers import AutoTokenizer

from textgenome.data import TextGenomeCollator
from textgenome.data.rows import as_conversations, load_rows
from textgenome.processing import build_dna_tokenizer, build_processor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset_name", default="wanglab/kegg", help="Rows: file, folder or Hub id.")
    parser.add_argument("--tokenizer", default="Qwen/Qwen3-1.7B", help="Text tokenizer: folder or Hub id.")
    parser.add_argument("--rows", type=int, default=512, help="Rows to collate.")
    parser.add_argument("--batch_size", type=int, default=8, help="Rows in a batch.")
    args = parser.parse_args()

    rows = as_conversations(load_rows(args.dataset_name, "train").select(range(args.rows)))
    processor = build_processor(AutoTokenizer.from_pretrained(args.tokenizer), build_dna_tokenizer("genos"))
    collate = TextGenomeCollator(processor)
    collate([rows[0]])  # the first call compiles the chat template
    positions, started = 0, time.process_time()
    for start in range(0, args.rows, args.batch_size):
        batch = collate([rows[i] for i in range(start, min(start + args.batch_size, args.rows))])
        positions += int(batch["attention_mask"].sum())
    seconds = time.process_time() - started
    speed = f"{args.rows / seconds:.0f} rows/s, {1e3 * seconds / args.rows:.2f} ms"
    print(f"{speed} and {positions / args.rows:.0f} positions a row")


if __name__ == "__main__":
    main()
