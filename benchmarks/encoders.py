"""Time and memory of a forward pass of each DNA encoder against the length of the DNA, at tiny sizes, on one thread.

Time is that of the processor, in milliseconds, so that other work on the machine changes it little.

Example run, a few minutes on one core of Linux:

    python benchmarks/encoders.py
"""

import argparse
import math
import os
import time
from multiprocessing import get_context


os.environ["OMP_NUM_THREADS"] = "1"

import torch
from torch import nn

from textgenome.configuration.configuration_textgenome import build_dna_config
from textgenome.modeling_dna_encoder import build_dna_encoder


SIZES = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4}
EVO2 = {"model_type": "evo2", **SIZES, "hcs_filter_groups": 8, "hcm_filter_groups": 8}
TRACKS = {"dim": 96, "depth": 3, "heads": 4, "attn_dim_key": 16}
# The configuration, and the bases of a token.
ENCODERS = {
    "HyenaDNA": ({"model_type": "hyenadna", "d_model": 64, "d_inner": 128, "n_layer": 3, "max_seq_len": 16_384}, 1),
    "Evo2, convolution blocks": ({**EVO2, "block_types": ["hcs", "hcm", "hcl"]}, 1),
    "Evo2, attention blocks": ({**EVO2, "block_types": ["attention"] * 3}, 1),
    "Caduceus-Ph": ({"model_type": "caduceus", "d_model": 64, "n_layer": 1}, 1),
    "Genos (Mixtral)": (
        {"model_type": "mixtral", **SIZES, "vocab_size": 128, "num_key_value_heads": 2, "num_local_experts": 4},
        1,
    ),
    "NT-v2": (
        {
            **{"model_type": "esm", **SIZES, "vocab_size": 4107, "pad_token_id": 1, "mask_token_id": 2},
            **{"add_bias_fnn": False, "position_embedding_type": "rotary"},
        },
        6,
    ),
    "Enformer": ({"model_type": "enformer", **TRACKS, "dim_divisible_by": 8}, 1),
    "Borzoi": (
        {
            **{"model_type": "borzoi", **TRACKS, "conv_dims": [48, 48, 64, 64, 80, 96], "hidden_size": 96},
            **{"attn_dim_value": 24, "num_rel_pos_features": 16},
        },
        1,
    ),
}


def resident(name: str) -> int:
    """Bytes of memory of this process: `VmRSS` now, `VmHWM` at its highest."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(name))


@torch.inference_mode()
def measure(encoder: nn.Module, tokens: int, repeats: int) -> tuple[float, int]:
    """Seconds of the fastest of several passes, and bytes of memory that the passes take at most."""
    ids = torch.randint(0, 4, (1, tokens)) + 6  # tokens of DNA or not: it takes the same time
    with open("/proc/self/clear_refs", "w") as clear:
        clear.write("5")  # the highest is what is in use now
    before, seconds = resident("VmRSS"), []
    for _ in range(repeats):
        started = time.process_time()
        encoder(ids)
        seconds.append(time.process_time() - started)
    return min(seconds), resident("VmHWM") - before


def measure_all(config: dict, tokens: list[int], repeats: int) -> list[tuple[float, int]]:
    encoder = build_dna_encoder(build_dna_config(config)).eval()
    return [measure(encoder, each, repeats) for each in tokens]


def exponent(values: list[float], lengths: list[int]) -> float:
    """Of the growth between the last but two and the last length: 1 is linear, 2 is quadratic."""
    return math.log(values[-1] / values[-3]) / math.log(lengths[-1] / lengths[-3])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=int, nargs="+", default=[512, 1024, 2048, 4096, 8192, 16_384], help="Bases.")
    parser.add_argument("--repeats", type=int, default=2, help="Passes, of which the fastest counts.")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"| encoder | {' | '.join(f'{length:,}' for length in args.lengths)} | exponent | MB |")
    print("|---" * (len(args.lengths) + 3) + "|")
    for name, (config, bases) in ENCODERS.items():
        # In a process of its own, which has no memory that was freed before to use again.
        with get_context("fork").Pool(1) as pool:
            measured = pool.apply(measure_all, (config, [length // bases for length in args.lengths], args.repeats))
        seconds, memory = zip(*measured)
        columns = " | ".join(f"{1000 * each:.0f}" for each in seconds)
        print(f"| {name} | {columns} | {exponent(seconds, args.lengths):.1f} | {max(memory) / 1e6:.0f} |", flush=True)


if __name__ == "__main__":
    main()
