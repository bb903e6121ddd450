"""Milliseconds to append a token to the cache of long prompts: one that is copied each time, and one that has room.

Example run:

    OMP_NUM_THREADS=1 python benchmarks/cache_room.py
"""

import argparse
import time

import torch
from transformers.cache_utils import DynamicLayer

from textgenome.inference.prefill import RoomyLayer


def milliseconds(layers: list[DynamicLayer], new: torch.Tensor, tokens: int) -> float:
    """Processor time a token, without the first one."""
    for layer in layers:
        layer.update(*new)
    started = time.process_time()
    for _ in range(tokens):
        for layer in layers:
            layer.update(*new)
    return 1e3 * (time.process_time() - started) / tokens


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=8, help="Prompts.")
    parser.add_argument("--length", type=int, default=5400, help="Their tokens.")
    parser.add_argument("--layers", type=int, default=4, help="Of the language model.")
    parser.add_argument("--heads", type=int, default=4, help="Of keys and values, each 32 wide.")
    parser.add_argument("--tokens", type=int, default=10, help="To append.")
    args = parser.parse_args()
    prompt, new = (torch.randn(2, args.rows, args.heads, length, 32) for length in (args.length, 1))
    plain = [DynamicLayer() for _ in range(args.layers)]
    for layer in plain:
        layer.update(*prompt)
    before = milliseconds(plain, new, args.tokens)
    after = milliseconds([RoomyLayer(*prompt) for _ in range(args.layers)], new, args.tokens)
    print(f"{before:.2f} -> {after:.2f} ms a token")


if __name__ == "__main__":
    main()
