"""Generated rows per second, batched against one by one, on the starter model, and whether both say the same.

Example run, after `make train`:

    python benchmarks/generation.py --model outputs/starter
"""

import argparse
import time

from transformers import AutoModelForMultimodalLM, AutoProcessor

import textgenome  # noqa: F401
from textgenome.data.prompts import as_prompt, cut_windows
from textgenome.data.rows import load_rows
from textgenome.inference import generate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="outputs/starter", help="Folder or Hub id.")
    parser.add_argument("--dataset_name", default="starter", help="Rows: file, folder, Hub id or `starter`.")
    parser.add_argument("--split", default="validation", help="Split of the rows.")
    parser.add_argument("--rows", type=int, default=64, help="Rows to ask about.")
    parser.add_argument("--batch_size", type=int, default=64, help="Rows in a batch.")
    parser.add_argument("--max_new_tokens", type=int, default=64, help="Most new tokens to generate.")
    args = parser.parse_args()

    model = AutoModelForMultimodalLM.from_pretrained(args.model)
    processor = AutoProcessor.from_pretrained(args.model)
    rows = load_rows(args.dataset_name, args.split).to_list()[: args.rows]
    prompts = [as_prompt(row) for row in cut_windows(rows, dna_window=processor.dna_window)]
    speeds, texts = [], []
    for batch_size in (1, args.batch_size):
        started = time.perf_counter()
        texts.append(generate(model, processor, prompts, batch_size=batch_size, max_new_tokens=args.max_new_tokens))
        speeds.append(len(prompts) / (time.perf_counter() - started))
        print(f"batches of {batch_size}: {speeds[-1]:.1f} rows/s")
    same = sum(one == other for one, other in zip(*texts))
    print(f"{speeds[1] / speeds[0]:.1f} times as fast; {same} of {len(prompts)} rows answered alike")


if __name__ == "__main__":
    main()
