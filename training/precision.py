"""Weights that stay float32 in every precision, also where an engine turns all of them to another one."""

from accelerate.utils import DistributedType
from torch import nn
from transformers import PreTrainedModel, Trainer, TrainerCallback
from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled


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
        sharded = engine == DistributedType.FSDP or is_deepspeed_zero3_enabled()
        if weights and (sharded or any(each.requires_grad for each in weights.values())):
            raise ValueError(
                f"{next(iter(weights))} and others must stay float32, which ZeRO-3 and FSDP do not keep in mixed "
                "precision, and ZeRO-2 only where they are frozen. Train with DDP, or with --bf16 false."
            )
        self.weights = {name: each.detach().clone() for name, each in weights.items()}

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        for name, weight in self.weights.items():
            parameter = model.get_parameter(name)
            parameter.data = weight.to(parameter.device)


def float32_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that a part of the model names for float32 (`_keep_in_fp32_modules_strict`)."""
    parts = [each for each in model.modules() if isinstance(each, PreTrainedModel)]
    names = {name for part in parts for name in part._keep_in_fp32_modules_strict or ()}
    return {name: each for name, each in model.named_parameters() if names & set(name.split("."))}


__all__ = ["KeepFloat32", "float32_weights"]
