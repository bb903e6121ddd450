"""A trainer that reads rows of similar length together, and logs how fast it trains."""

import time
from collections.abc import Callable

import torch
from torch import nn
from transformers import TrainerCallback
from transformers.pytorch_utils import Conv1D
from transformers.trainer_pt_utils import LengthGroupedSampler
from trl import SFTTrainer

from textgenome.modeling_dna_encoder import DNAEncoderMixin, find_layers
from textgenome.modeling_textgenome import TextGenomeModel
from textgenome.training.resuming import WholeCheckpointsMixin


# Floating point operations a second in bfloat16 without sparsity, from the data sheets of NVIDIA.
PEAK_FLOPS = {"H200": 989e12, "H100 PCIe": 756e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12}


class GroupedByLength(LengthGroupedSampler):
    """Rows in random order but for their length, which is similar in a batch; the same order in a run that resumes.

    Args:
        lengths: Of the rows, in any unit.
        batch_size: Rows that stand together.
        seed: With the epoch, what the order depends on.
        epoch: Tells the epoch when an order is asked for. `set_epoch`, by which accelerate tells a sampler, is not
            called in several processes that resume.
    """

    def __init__(self, lengths: list[int], batch_size: int, seed: int, epoch: Callable[[], int] = lambda: 0):
        super().__init__(batch_size, lengths=lengths, generator=torch.Generator())
        self.seed = seed
        self.epoch = epoch

    def __iter__(self):
        self.generator.manual_seed(self.seed + self.epoch())
        return super().__iter__()


class StopClock(TrainerCallback):
    """Stops the clock of a trainer behind a step that an evaluation or a checkpoint follows."""

    def __init__(self, trainer: "TextGenomeTrainer"):
        self.trainer = trainer

    def on_step_end(self, args, state, control, **kwargs):
        if control.should_evaluate or control.should_save:
            self.trainer.stop_clock()

    on_epoch_end = on_step_end


class TextGenomeTrainer(WholeCheckpointsMixin, SFTTrainer):
    """An SFTTrainer that logs, over the steps since the last log and all devices:

    - `tokens_per_second` and `supervised_tokens_per_second`: of the language model, without padding; the second are
      those that have a label.
    - `padding`: the share of padding among the positions of the batches.
    - `tflops_per_second`: floating point operations of the model (see `count_flops`) on each device, in 10^12.
    - `mfu`: the same as a share of what the device could do at most, where that is known (`PEAK_FLOPS`).

    Seconds run from the first batch that is fetched to the log, but not during evaluations and checkpoints between.

    Args:
        lengths: How long each row is, in any unit, to put rows of similar length together.
    """

    def __init__(self, *args, lengths: list[int] | None = None, **kwargs):
        super().__init__(*args, **kwargs)
        self.lengths = lengths
        self.fused = next(module for module in self.model.modules() if isinstance(module, TextGenomeModel))
        config = self.fused.config
        head = config.text_config.vocab_size * config.text_config.hidden_size
        trains_head = any(parameter.requires_grad for parameter in self.model.get_output_embeddings().parameters())
        self.weights = {
            "dna_encoder": count_matmul_weights(self.fused.dna_encoder, expert_share(config.dna_config)),
            "language_model": count_matmul_weights(self.fused.language_model, expert_share(config.text_config)),
            "head": (head, head if trains_head else 0),
        }
        self.fused.dna_encoder.register_forward_pre_hook(self.count_dna, with_kwargs=True)
        self.clock, self.seconds = None, 0.0
        self.counts = self.dna_counts = 0
        self.add_callback(StopClock(self))

    def _get_train_sampler(self, train_dataset=None):
        if self.lengths is None:
            return super()._get_train_sampler(train_dataset)
        batch_size = self.args.train_batch_size * self.args.gradient_accumulation_steps
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        return GroupedByLength(self.lengths, batch_size, seed, lambda: int(self.state.epoch or 0))

    def get_batch_samples(self, *args, **kwargs):
        self.clock = self.clock or time.perf_counter()
        return super().get_batch_samples(*args, **kwargs)

    def stop_clock(self) -> None:
        if self.clock is not None:
            self.seconds += time.perf_counter() - self.clock
            self.clock = None

    def training_step(self, model, inputs, *args, **kwargs):
        mask = inputs["attention_mask"]
        lengths, labels = mask.sum(1), inputs["labels"][:, 1:] != -100
        positions = torch.tensor(mask.numel(), device=mask.device)
        self.counts = self.counts + torch.stack([positions, lengths.sum(), (lengths**2).sum(), labels.sum()])
        return super().training_step(model, inputs, *args, **kwargs)

    def count_dna(self, _, args, kwargs):
        # What goes into the encoder, not what is in the batch: equal sequences go once, cached ones never.
        if self.fused.training:
            lengths = kwargs["attention_mask"].sum(1)
            self.dna_counts = self.dna_counts + torch.stack([lengths.sum(), (lengths**2).sum()])

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        self.stop_clock()
        if "loss" in logs and self.seconds:
            logs |= self.throughput()
        super().log(logs, start_time)

    def throughput(self) -> dict[str, float]:
        """The figures since the last call, and a new start of the count."""
        dna_counts = self.counts.new_zeros(2) + self.dna_counts
        counts = self.accelerator.gather(torch.cat([self.counts, dna_counts])[None]).sum(0).tolist()
        seconds, self.seconds, self.counts, self.dna_counts = self.seconds, 0.0, 0, 0
        positions, tokens, squares, labels, dna_tokens, dna_squares = counts

        config = self.fused.config
        encoder = count_flops(
            *self.weights["dna_encoder"],
            attention_width(config.dna_config),
            dna_tokens,
            dna_squares,
            backward_share(self.fused),
        )
        text = count_flops(*self.weights["language_model"], attention_width(config.text_config), tokens, squares)
        head = count_flops(*self.weights["head"], 0, labels, 0)
        flops_per_second = (encoder + text + head) / seconds / self.accelerator.num_processes
        figures = {
            "tokens_per_second": round(tokens / seconds, 1),
            "supervised_tokens_per_second": round(labels / seconds, 1),
            "padding": round(1 - tokens / positions, 4),
            "tflops_per_second": round(flops_per_second / 1e12, 4),
        }
        peak = peak_flops(self.args.device)
        return figures | ({"mfu": round(flops_per_second / peak, 4)} if peak else {})


def count_flops(
    weights: float, trained_weights: float, attention: int, tokens: int, squared_lengths: int, backward: float = 1.0
) -> float:
    """Floating point operations of a forward pass and, as far as there is one, the backward pass.

    After PaLM (arXiv 2204.02311, appendix B), with its 6N a token taken apart: 2N forward, 2N for the gradients of
    activations, 2N for those of weights, the last only of weights that are trained. What activation checkpointing does
    twice counts once.

    Args:
        weights: Weights that a token is multiplied with (`count_matmul_weights`).
        trained_weights: Those of them that are trained.
        attention: Layers by heads by their width (`attention_width`).
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
    groups = find_layers(model.dna_encoder, count)
    trained = {each for each in model.dna_encoder.parameters() if each.requires_grad}
    if not trained:
        return 0.0
    firsts = [i for layers in groups for i, layer in enumerate(layers) if trained & set(layer.parameters())]
    below = trained - {each for layers in groups for each in layers.parameters()}  # embeddings
    return (model.config.dna_feature_layer % (count + 1) - (0 if below else min(firsts))) / count


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


def attention_width(config) -> int:
    """Layers by heads by the width of a head; 0 for a network without attention."""
    heads = getattr(config, "num_attention_heads", 0)
    width = getattr(config, "head_dim", None) or config.hidden_size // max(heads, 1)
    return config.num_hidden_layers * heads * width


def peak_flops(device: torch.device) -> float | None:
    """Most floating point operations a second of a device in bfloat16, or None where that is not known."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in PEAK_FLOPS.items() if all(word in name for word in part.split())), None)


__all__ = [
    "PEAK_FLOPS",
    "GroupedByLength",
    "TextGenomeTrainer",
    "attention_width",
    "backward_share",
    "count_flops",
    "count_matmul_weights",
    "expert_share",
    "peak_flops",
]
