"""A trainer that reads rows of similar length together, and logs how fast it trains."""

from collections.abc import Callable

import torch
from peft.helpers import disable_input_dtype_casting
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers.integrations.liger import apply_liger_kernel
from transformers.trainer_pt_utils import LengthGroupedSampler
from trl import SFTTrainer

from textgenome.modeling_textgenome import TextGenomeModel
from textgenome.training.clock import ClockMixin
from textgenome.training.flops import (
    attention_width,
    backward_share,
    count_flops,
    count_matmul_weights,
    expert_share,
    peak_flops,
)
from textgenome.training.resuming import ResumesMixin


class GroupedByLength(LengthGroupedSampler):
    """Rows in random order but for their length, which is similar in a batch; the same order in a run that resumes.

    Args:
        lengths: Of the rows, in any unit.
        batch_size: Rows of a batch.
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


def keep_supervised(inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Let the model give the states of those positions only whose next token has a label.

    TRL multiplies all states by the head, but for what its kernel for CUDA leaves out. Of a row that is answered in a
    few words, most are not needed.

    Args:
        inputs: A batch that is padded on the right; any other is left as it is.

    Returns:
        The batch, with `kept_positions` (see `TextGenomeModel.forward`) and their labels, `shift_labels`.
    """
    if not inputs["attention_mask"][:, 0].all():
        return inputs
    labels = F.pad(inputs["labels"][:, 1:], (0, 1), value=-100).flatten()
    kept = (labels != -100).nonzero()[:, 0]
    if not len(kept):
        kept = labels.new_zeros(1)  # one that counts for nothing, so that there is a graph to run back through
    return {**inputs, "kept_positions": kept, "shift_labels": labels[kept][None]}


def fuse_kernels(language_model: PreTrainedModel, kernel_config: dict | None) -> None:
    """Put Liger's kernels into a language model. Given the whole model, transformers would do nothing: Liger does not
    know its type.

    Args:
        language_model: Changed in place.
        kernel_config: As in `TrainingArguments.liger_kernel_config`.

    Raises:
        ValueError: If Liger has no kernels for this type of model.
    """
    apply_liger_kernel(language_model, kernel_config)
    if not any("liger" in module.forward.__module__ for module in language_model.modules()):
        raise ValueError(f"use_liger_kernel: Liger has no kernels for {language_model.config.model_type!r}.")


class TextGenomeTrainer(ClockMixin, ResumesMixin, SFTTrainer):
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
        self.counts = self.dna_counts = 0
        if self.args.use_liger_kernel:
            fuse_kernels(self.fused.language_model, self.args.liger_kernel_config)

    def _get_train_sampler(self, train_dataset=None):
        if self.lengths is None:
            return super()._get_train_sampler(train_dataset)
        batch_size = self.args.train_batch_size * self.args.gradient_accumulation_steps
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        return GroupedByLength(self.lengths, batch_size, seed, lambda: int(self.state.epoch or 0))

    def train(self, *args, **kwargs):
        # LoRA weights are float32. Autocast computes in its own type whatever comes in, so that there is no need to
        # bring the inputs to theirs first, and to keep them like this for the gradients.
        with disable_input_dtype_casting(self.model, active=self.accelerator.native_amp):
            return super().train(*args, **kwargs)

    def training_step(self, model, inputs, *args, **kwargs):
        mask = inputs["attention_mask"]
        lengths, labels = mask.sum(1), inputs["labels"][:, 1:] != -100
        positions = torch.full((), mask.numel(), device=mask.device)
        self.counts = self.counts + torch.stack([positions, lengths.sum(), (lengths**2).sum(), labels.sum()])
        return super().training_step(model, inputs, *args, **kwargs)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        needs_all_logits = return_outputs or self.compute_loss_func is not None or self.label_smoother is not None
        if not needs_all_logits and "shift_labels" not in inputs:
            inputs = keep_supervised(inputs)
        return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)

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
            attention_width(config.dna_config, self.fused.dna_encoder),
            dna_tokens,
            dna_squares,
            backward_share(self.fused),
        )
        attention = attention_width(config.text_config, self.fused.language_model)
        text = count_flops(*self.weights["language_model"], attention, tokens, squares)
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


__all__ = ["GroupedByLength", "TextGenomeTrainer", "fuse_kernels", "keep_supervised"]
