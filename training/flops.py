"""How many floating point operations training takes, and how many a device can do."""

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from textgenome.modeling_dna_encoder import DNAEncoderMixin, find_layers


# Floating point operations a second in bfloat16 without sparsity, from the data sheets of NVIDIA.
PEAK_FLOPS = {"H200": 989e12, "H100 PCIe": 756e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12}


def count_flops(
    weights: float,
    trained_weights: float,
    attention: float,
    tokens: int,
    squared_lengths: int,
    backward: float = 1.0,
) -> float:
    """Floating point operations of a forward pass and, as far as there is one, the backward pass.

    After PaLM (arXiv 2204.02311, appendix B), with its 6N a token taken apart: 2N forward, 2N for the gradients of
    activations, 2N for those of weights, the last only of weights that are trained. What activation checkpointing does
    twice counts once.

    Args:
        weights: Weights that a token is multiplied with (`count_matmul_weights`).
        trained_weights: Those of them that are trained.
        attention: Layers by heads by their width, half of that where attention is causal (`attention_width`).
        tokens: Tokens, without padding.
        squared_lengths: The sum of the squares of the lengths of sequences.
        backward: The share of the layers that gradients run through.
    """
    through = 2 * weights * tokens + 4 * attention * squared_lengths
    # Of each product in attention both factors have a gradient.
    gradients = 2 * weights * tokens + 8 * attention * squared_lengths
    return through + backward * gradients + 2 * trained_weights * tokens


def backward_share(model: DNAEncoderMixin) -> float:
    """The share of a DNA encoder's layers that gradients run through: from the first that is trained to the last
    that is used; 0 for a frozen encoder."""
    count = model.config.dna_config.num_hidden_layers
    trained = {each for each in model.dna_encoder.parameters() if each.requires_grad}
    if not (trained and count):
        return float(bool(trained))  # convolutions alone, and tables of k-mers, have no layers
    groups = find_layers(model.dna_encoder, count)
    firsts = [i for layers in groups for i, layer in enumerate(layers) if trained & set(layer.parameters())]
    below = trained - {each for layers in groups for each in layers.parameters()}  # embeddings
    return (model.num_used_layers - (0 if below else min(firsts))) / count


def count_matmul_weights(model: nn.Module, share: float = 1) -> tuple[float, float]:
    """How many weights each token is multiplied with, and how many of them are trained.

    Args:
        model: The network.
        share: Of its experts, those that a token goes through.
    """
    total = trained = 0
    for name, module in model.named_modules():
        if "original_module" in name:
            continue  # PEFT trains a copy of it
        if isinstance(module, nn.Linear | Conv1D):
            sizes = {module.weight: 1}
        else:
            # The experts of a layer are one parameter: (experts, out, in).
            is_experts = module._parameters and all(each.ndim == 3 for each in module.parameters(recurse=False))
            sizes = dict.fromkeys(module.parameters(recurse=False), share) if is_experts and share < 1 else {}
        for weight, factor in sizes.items():
            size = getattr(weight, "ds_numel", weight.numel()) * factor  # under ZeRO-3 a parameter looks empty
            total += size
            trained += size * weight.requires_grad
    return total, trained


def expert_share(config) -> float:
    """Of the experts of a mixture, the share that a token goes through; 1 without a mixture."""
    return getattr(config, "num_experts_per_tok", 1) / (getattr(config, "num_local_experts", None) or 1)


def attention_width(config, model: nn.Module | None = None) -> float:
    """Layers by heads by the width of a head; 0 for a network without attention.

    Args:
        config: Of the network.
        model: The network. If a token sees only what comes before it, half of the width is given: as much is computed.
    """
    heads = getattr(config, "num_attention_heads", 0)
    width = getattr(config, "head_dim", None) or config.hidden_size // max(heads, 1)
    is_causal = model is not None and any(getattr(module, "is_causal", False) for module in model.modules())
    return config.num_hidden_layers * heads * width / (2 if is_causal else 1)


def peak_flops(device: torch.device) -> float | None:
    """Most floating point operations a second of a device in bfloat16, or None where that is not known."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in PEAK_FLOPS.items() if all(word in name for word in part.split())), None)


__all__ = [
    "PEAK_FLOPS",
    "attention_width",
    "backward_share",
    "count_flops",
    "count_matmul_weights",
    "expert_share",
    "peak_flops",
]
