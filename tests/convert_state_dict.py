"""Convert a pickled state dict to safetensors. The only place where the project reads a pickle, and then weights only.

Example run:

    python tests/convert_state_dict.py pytorch_model.bin model.safetensors
"""

import sys

import torch
from safetensors.torch import save_file


def main(source: str, target: str) -> None:
    state = torch.load(source, map_location="cpu", weights_only=True)
    save_file({name: value.clone().contiguous() for name, value in state.items()}, target, metadata={"format": "pt"})


if __name__ == "__main__":
    main(*sys.argv[1:])
