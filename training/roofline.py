"""How long a training step takes on a GPU at best, computed from operations and memory traffic, without running it."""

from torch import nn

from textgenome.configuration.configuration_textgenome import TextGenomeConfig
from textgenome.modeling_textgenome import TextGenomeModel
from textgenome.training.flops import (
    attention_width,
    backward_share,
    count_flops,
    count_matmul_weights,
    expert_share,
)


# Operations a second in bfloat16 without sparsity and bytes a second, from the data sheets of NVIDIA.
GPUS = {"H200": (989e12, 4.8e12), "H100": (989e12, 3.35e12), "A100": (312e12, 2.04e12), "L40S": (362e12, 0.864e12)}
# What large matrix products, and operations on single elements, reach of them.
MATMULS, TRAFFIC = 0.8, 0.9


def step_operations(
    model: nn.Module, config: TextGenomeConfig, lengths: tuple[int, int, int], rows: int, checkpointing: bool
) -> tuple[float, float]:
    """Floating point operations of a forward and a backward pass.

    Args:
        model: With its adapters; it may be on the meta device.
        config: Of the fused model.
        lengths: Tokens of a row, of each of its two windows, and with a label.
        rows: In a batch.
        checkpointing: Whether the language model runs forward twice.

    Returns:
        Those that are needed, as `count_flops` has it, and those that are done.
    """
    fused = next(module for module in model.modules() if isinstance(module, TextGenomeModel))
    tokens, window, labels = lengths
    trained = backward_share(fused)
    encoder = count_matmul_weights(fused.dna_encoder, expert_share(config.dna_config))
    width = attention_width(config.dna_config, fused.dna_encoder)
    dna = count_flops(*encoder, width, 2 * rows * window, 2 * rows * window**2, trained)
    layers = count_matmul_weights(fused.language_model, expert_share(config.text_config))
    width = attention_width(config.text_config, fused.language_model)
    text = count_flops(*layers, width, rows * tokens, rows * tokens**2)
    head = config.text_config.vocab_size * config.text_config.hidden_size
    needed = dna + text + count_flops(head, 0, 0, rows * labels, 0)
    again = 2 * layers[0] * rows * tokens + 4 * width * rows * tokens**2
    return needed, needed + (again if checkpointing else 0)


def step_seconds(gpu: str, operations: float, kept: float, checkpointing: bool) -> float:
    """The least time of a forward and a backward pass: matrix products, and reading and writing what is between them.

    Each tensor that autograd keeps is written and read once, and so is its gradient; with activation checkpointing it
    is written and read once more.

    Args:
        gpu: One of `GPUS`.
        operations: That are done, see `step_operations`.
        kept: Bytes of the tensors that autograd keeps without activation checkpointing.
        checkpointing: Whether activations are computed twice.
    """
    flops, bandwidth = GPUS[gpu]
    return operations / (MATMULS * flops) + kept * (6 if checkpointing else 4) / (TRAFFIC * bandwidth)


def seconds_by_gpu(
    needed: float, done: float, kept: float, checkpointing: bool, batches: int
) -> dict[str, tuple[float, float]]:
    """For each of `GPUS` the least seconds of a step of so many batches, and the share of its peak that they use.

    Args:
        needed: Operations of a batch that are needed, see `step_operations`.
        done: Those that are done.
        kept: See `step_seconds`.
        checkpointing: See `step_seconds`.
        batches: Of a step, one after the other.
    """
    seconds = {gpu: step_seconds(gpu, done, kept, checkpointing) for gpu in GPUS}
    return {gpu: (batches * each, needed / each / GPUS[gpu][0]) for gpu, each in seconds.items()}


__all__ = ["GPUS", "MATMULS", "TRAFFIC", "seconds_by_gpu", "step_operations", "step_seconds"]
