"""Weights that stay float32 in every precision, also where an engine turns all of them to another one."""

from accelerate.utils import DistributedType
from torch import nn
from transformers import PreTrainedModel, Trainer, TrainerCallback
from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled


REFUSAL = (
    "ZeRO-3 and FSDP do not keep float32 weights in mixed precision, ZeRO-2 only frozen ones: train with DDP, or with "
    "--bf16 false."
)


class KeepFloat32(TrainerCallback):
    """Gives back to frozen weights the float32 that DeepSpeed took from them, before the first step.

    With `bf16` or `fp16` DeepSpeed turns all weights to that type, and FSDP computes in it, those too that a model
    names for float32, such as the filters of HyenaDNA, in which far positions would fall together.

    Raises:
        ValueError: If the model has such weights and its engine cannot keep them.
    """

    def __init__(self, trainer: Trainer):
        engine = trainer.accelerator.distributed_type
        lowers = trainer.accelerator.mixed_precision != "no"
        lowers &= engine in (DistributedType.DEEPSPEED, DistributedType.FSDP)
        weights = float32_weights(trainer.model) if lowers else {}
        if not can_keep(weights, sharded=engine == DistributedType.FSDP or is_deepspeed_zero3_enabled()):
            raise ValueError(f"{next(iter(weights))} and others must stay float32. {REFUSAL}")
        self.weights = {name: each.detach().clone() for name, each in weights.items()}

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        for name, weight in self.weights.items():
            parameter = model.get_parameter(name)
            parameter.data = weight.to(parameter.device)


def train_in_float32(trainer: Trainer) -> None:
    """Give trained weights float32, where the others are of 4 bits.

    SFTTrainer has made them bfloat16, which does not tell steps apart that are as small as those of new weights.

    Raises:
        ValueError: If DeepSpeed or FSDP would divide the weights.
    """
    if trainer.accelerator.distributed_type in (DistributedType.DEEPSPEED, DistributedType.FSDP):
        raise ValueError("load_in_4bit: weights of 4 bits are not divided. Train on one GPU, or by DDP.")
    for parameter in trainer.model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def can_keep(weights: dict[str, nn.Parameter], sharded: bool) -> bool:
    """Whether DeepSpeed or FSDP can keep these weights in float32 while they compute in a lower precision."""
    return not weights or not (sharded or any(each.requires_grad for each in weights.values()))


def float32_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that a part of the model names for float32 (`_keep_in_fp32_modules_strict`)."""
    parts = [each for each in model.modules() if isinstance(each, PreTrainedModel)]
    names = {name for part in parts for name in part._keep_in_fp32_modules_strict or ()}
    return {name: each for name, each in model.named_parameters() if names & set(name.split("."))}


__all__ = ["REFUSAL", "KeepFloat32", "can_keep", "float32_weights", "train_in_float32"]
