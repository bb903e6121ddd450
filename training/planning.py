"""How much memory of each GPU a training run takes, before it is run: counted on the meta device, without weights."""

from copy import deepcopy
from dataclasses import replace
from math import ceil

import torch
from peft import get_peft_model
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from transformers import AutoConfig, PreTrainedConfig

from textgenome.configuration.arguments import ModelArguments, TrainingArguments
from textgenome.configuration.base_models import BASE_MODELS, base_model_config
from textgenome.configuration.configuration_textgenome import TextGenomeConfig, build_sub_config
from textgenome.modeling_textgenome import TextGenomeForConditionalGeneration, TextGenomeModel
from textgenome.training.finetuning import prepare_model


# Which of weights, gradients and optimizer states are divided by the number of GPUs.
ENGINES = {
    "DDP": (False, False, False),
    "ZeRO-1": (False, False, True),
    "ZeRO-2": (False, True, True),
    "ZeRO-3": (True, True, True),
    "FSDP2": (True, True, True),
}
LIVE = 1e9  # parameters that ZeRO-3 holds whole at a time, `stage3_max_live_parameters` by default
USABLE = 0.9  # of a GPU's memory: the rest is for the context, communication buffers and fragmentation


def fused_config(args: ModelArguments) -> TextGenomeConfig:
    """The configuration of the model that `train_sft.py` would train.

    The sizes of the base models that recipes name need no network; those of others are read from their folder or
    from the Hub.
    """
    if args.model_name_or_path:
        return AutoConfig.from_pretrained(args.model_name_or_path, revision=args.model_revision)
    if args.text_model:
        text, dna = (load_config(name) for name in (args.text_model, args.dna_model))
    else:
        text = build_sub_config({**args.text_config, "vocab_size": args.text_vocab_size}, "qwen3")
        dna = build_sub_config(args.dna_config, "hyenadna")
    return TextGenomeConfig(
        text_config=text,
        dna_config=dna,
        projector_type=args.projector_type or "linear",
        projector_num_queries=args.projector_num_queries,
        dna_feature_layer=-1 if args.dna_feature_layer is None else args.dna_feature_layer,
    )


def load_config(name: str) -> PreTrainedConfig:
    return base_model_config(name) if name in BASE_MODELS else AutoConfig.from_pretrained(name)


def build_on_meta(config: TextGenomeConfig, args: ModelArguments) -> nn.Module:
    """The model as it is trained, adapters and data types included, without memory for its weights."""
    trains_all = not (args.use_peft or args.freeze_language_model)
    dtype = args.dtype if args.dtype != "auto" else config.dtype or config.text_config.dtype or "float32"
    if args.dtype == "auto" and trains_all:
        dtype = "float32"
    with torch.device("meta"):
        model = TextGenomeForConditionalGeneration(config).to(getattr(torch, str(dtype).removeprefix("torch.")))
        peft_config = prepare_model(model, args)
        return model if peft_config is None else get_peft_model(model, peft_config)


def memory_per_gpu(model: nn.Module, engine: str, gpus: int, bf16: bool) -> dict[str, float]:
    """Bytes of weights, gradients and the states of AdamW.

    DDP and FSDP2 keep the data types of the model. DeepSpeed makes all weights and gradients bfloat16 with `bf16`, and
    holds float32 copies of the trained ones beside the two states of AdamW: 2, 2 and 12 bytes, as in ZeRO (arXiv
    1910.02054, section 3.1). Several processes of DDP hold gradients twice, the second time in buckets. Where weights
    are divided, some are whole at a time: the largest module of FSDP2, and up to `LIVE` parameters of ZeRO-3.

    Args:
        model: As of `build_on_meta`.
        engine: One of `ENGINES`.
        gpus: How many.
        bf16: Whether the run computes in bfloat16.
    """
    parameters = list(model.parameters())
    trained = [each for each in parameters if each.requires_grad]
    weights, gradients = (sum(each.nbytes for each in group) for group in (parameters, trained))
    optimizer = 2 * gradients
    if engine.startswith("ZeRO"):
        optimizer += gradients
        if bf16:
            weights, gradients = (2 * sum(each.numel() for each in group) for group in (parameters, trained))
        elif engine == "ZeRO-3":
            weights = 4 * sum(each.numel() for each in parameters)
    elif engine == "DDP" and gpus > 1:
        gradients *= 2
    parts = {"weights": weights, "gradients": gradients, "optimizer": optimizer}
    for part, divided in zip(parts, ENGINES[engine]):
        parts[part] /= gpus if divided else 1
    if engine == "ZeRO-3" and gpus > 1:
        parts["weights"] += min(weights, LIVE * (2 if bf16 else 4))
    if engine == "FSDP2" and gpus > 1:
        blocks = [layer for each in model.modules() if isinstance(each, nn.ModuleList) for layer in each]
        blocks += [each for each in model.modules() if isinstance(each, nn.Embedding)]
        parts["weights"] += max(sum(each.nbytes for each in block.parameters()) for block in blocks)
    return parts


def activation_bytes(
    config: TextGenomeConfig, args: ModelArguments, training: TrainingArguments, tokens: int, dna_tokens: int
) -> float:
    """An estimate of what the backward pass of one batch needs: the tensors that autograd keeps of a layer, counted
    without memory for them, times the layers; with activation checkpointing the inputs of all layers and one layer.

    Left out are the head, which the trainer computes in tiles, and a frozen encoder, which keeps nothing.

    Args:
        config: Of the fused model.
        args: As of `train_sft.py`.
        training: As of `train_sft.py`.
        tokens: Of the language model in a batch: rows by the longest of them.
        dna_tokens: Of the encoder in the same batch.
    """
    small = deepcopy(config)
    small.dna_feature_layer = -1
    for part in (small.text_config, small.dna_config):
        part.num_hidden_layers = 1
        if getattr(part, "layer_types", None):
            part.layer_types = part.layer_types[:1]
    rows = training.per_device_train_batch_size
    model = build_on_meta(small, replace(args, train_dna_layers=min(args.train_dna_layers, 1))).train()
    fused = next(module for module in model.modules() if isinstance(module, TextGenomeModel))
    dna_dtype = fused.dna_encoder.dtype
    fused.dna_encoder.bfloat16()  # in which alone the kernel for experts can be counted
    # Tensors without memory that behave as if on a CPU: there is no autocast on the meta device.
    with FakeTensorMode(allow_non_fake_inputs=True), torch.autocast("cpu", torch.bfloat16, enabled=training.bf16):
        model.to_empty(device="cpu")
        shape = (rows, tokens // rows, config.text_config.hidden_size)
        inputs = torch.zeros(shape, dtype=fused.language_model.dtype, requires_grad=True)
        kept = saved_bytes(fused.language_model, inputs_embeds=inputs)
        parts = [(config.text_config.num_hidden_layers, inputs.nbytes, kept)]
        if fused.trains_dna_encoder:
            ids = torch.zeros(2 * rows, dna_tokens // (2 * rows), dtype=torch.long)
            kept = saved_bytes(fused.dna_encoder, input_ids=ids) * (1 if training.bf16 else 2)
            states = dna_tokens * config.dna_config.hidden_size * dna_dtype.itemsize
            parts.append((args.train_dna_layers or config.dna_config.num_hidden_layers, states, kept))
    checkpointing = training.activation_checkpointing
    return sum(layers * states + kept if checkpointing else layers * kept for layers, states, kept in parts)


def saved_bytes(model: nn.Module, **inputs) -> int:
    """Bytes of the tensors that autograd keeps of a forward pass, parameters left out."""
    kept, parameters = {}, {each.untyped_storage()._cdata for each in model.parameters()}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor.untyped_storage()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        model(**inputs)
    return sum(storage.nbytes() for key, storage in kept.items() if key not in parameters)


def num_steps(rows: int, gpus: int, training: TrainingArguments) -> int:
    """Optimizer steps of a run over so many rows, as the trainer counts them."""
    if training.max_steps > 0:
        return training.max_steps
    batches = ceil(rows / (training.per_device_train_batch_size * gpus))
    return ceil(ceil(batches / training.gradient_accumulation_steps) * training.num_train_epochs)


__all__ = [
    "ENGINES",
    "USABLE",
    "activation_bytes",
    "build_on_meta",
    "fused_config",
    "memory_per_gpu",
    "num_steps",
]
