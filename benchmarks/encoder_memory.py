"""The memory of a forward pass of each published DNA encoder against the length of the DNA, counted without weights.

Counted are the weights in bfloat16, or in float32 where they must stay so, and the tensors that are alive at once
while one sequence is encoded without gradients, as PyTorch runs it without kernels of other packages. What a kernel
takes for itself while it runs is left out.

Example run, about a minute on one core:

    python benchmarks/encoder_memory.py
"""

import argparse
import weakref
from collections.abc import Sequence
from unittest.mock import patch

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from transformers import PreTrainedConfig

from textgenome.configuration.base_models import BASE_MODELS
from textgenome.configuration.configuration_textgenome import build_dna_config, max_dna_tokens
from textgenome.modeling_dna_encoder import build_dna_encoder
from textgenome.processing.dna_tokenizers import build_dna_tokenizer, vocabulary_of
from textgenome.training.precision import float32_weights


# transformers tells from the values of positions whether several sequences are packed into one. Where there are no
# values it makes a mask in any case, of the square of the length, which a pass with values does not have.
NOT_PACKED = "transformers.masking_utils.find_packed_sequence_indices"
# Caduceus scans base by base, which takes long to count. Its tensors grow in proportion to the length, and one layer
# runs after the other: two short lengths of one layer tell the others.
SCAN_LENGTHS = (64, 128)


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all tensors that were made since it was entered and are still in use.

    Args:
        weights: The storages that were there before: an operation may return a view of one.

    Attributes:
        peak: The most at any time.
    """

    def __init__(self, weights: list[int]):
        super().__init__()
        self.live, self.peak, self.seen = 0, 0, set(weights)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        outputs = func(*args, **(kwargs or {}))
        tree_map_only(torch.Tensor, self.count, outputs)
        return outputs

    def count(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage._cdata not in self.seen:
            self.seen.add(storage._cdata)
            self.live += storage.nbytes()
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self.release, storage._cdata, storage.nbytes())

    def release(self, key: int, size: int) -> None:
        self.seen.discard(key)
        self.live -= size


def build_in_bfloat16(config: PreTrainedConfig) -> nn.Module:
    """The encoder on the meta device, in evaluation mode."""
    with torch.device("meta"):
        encoder = build_dna_encoder(config).eval().bfloat16()
    for weight in float32_weights(encoder).values():
        weight.data = weight.data.float()
    return encoder


@torch.no_grad()
def activation_bytes(encoder: nn.Module, lengths: Sequence[int]) -> list[int]:
    """Bytes of the tensors that are alive at once while one sequence of so many tokens is encoded, for each length."""
    peaks = []
    with FakeTensorMode(allow_non_fake_inputs=True):
        encoder.to_empty(device="cpu")
        weights = [each.untyped_storage()._cdata for each in [*encoder.parameters(), *encoder.buffers()]]
        for length in lengths:
            ids = torch.zeros(1, length, dtype=torch.long)
            with LiveBytes(weights) as counted, patch(NOT_PACKED, return_value=None):
                encoder(ids)
            peaks.append(counted.peak)
    return peaks


def measure(config: PreTrainedConfig, lengths: list[int]) -> list[int | None]:
    """Bytes of the weights, then of weights and activations at each length.

    Args:
        config: Of the encoder.
        lengths: In bases, in rising order. Those beyond the longest input give None.
    """
    encoder = build_in_bfloat16(config)
    weights = sum(each.nbytes for each in encoder.parameters())
    tokenizer = build_dna_tokenizer(vocabulary_of(config))
    tokens = [len(tokenizer("A" * length)["input_ids"]) for length in lengths]
    if config.model_type == "caduceus":
        few, more = activation_bytes(
            build_in_bfloat16(build_dna_config({**config.to_dict(), "n_layer": 1})), SCAN_LENGTHS
        )
        slope = (more - few) / (SCAN_LENGTHS[1] - SCAN_LENGTHS[0])
        return [weights, *(weights + round(more + slope * (each - SCAN_LENGTHS[1])) for each in tokens)]
    longest = max_dna_tokens(config) or max(tokens)
    counted = activation_bytes(encoder, [each for each in tokens if each <= longest])
    return [weights, *(weights + each for each in counted), *[None] * (len(tokens) - len(counted))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=int, nargs="+", default=[2048, 32_768, 131_072], help="Bases.")
    args = parser.parse_args()
    print(f"| encoder | weights, GB | {' | '.join(f'{length:,} bases' for length in args.lengths)} |")
    print("|---" * (len(args.lengths) + 2) + "|")
    for hub_id, facts in BASE_MODELS.items():
        config = build_dna_config(facts["config"])
        if vocabulary_of(config):  # it reads DNA
            columns = ("-" if each is None else f"{each / 1e9:.2f}" for each in measure(config, args.lengths))
            print(f"| {hub_id} | {' | '.join(columns)} |", flush=True)


if __name__ == "__main__":
    main()
