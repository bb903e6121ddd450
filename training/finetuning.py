"""Which parts of a model are trained, and which by LoRA."""

import torch
from peft import LoraConfig
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from textgenome.configuration.arguments import EncoderArguments, ModelArguments
from textgenome.modeling_dna_encoder import DNAEncoderMixin, find_layers


NEW_MODULES = ["projector", "dna_markers"]  # what joins the two models, trained in every run


def prepare_dna_encoder(model: DNAEncoderMixin, args: EncoderArguments) -> list[torch.nn.Module]:
    """Freeze the encoder but for what is to be trained; return the layers that are trained out of a frozen one."""
    encoder = model.dna_encoder
    encoder.requires_grad_(not args.freeze_dna_encoder)
    layers = []
    if args.train_dna_layers:
        count = model.config.dna_config.num_hidden_layers
        used = find_layers(encoder, count)[0][: model.num_used_layers]
        if not 0 < args.train_dna_layers <= len(used):
            raise ValueError(f"train_dna_layers is {args.train_dna_layers}, but {len(used)} are used.")
        layers = list(used)[-args.train_dna_layers :]
    for layer in layers:
        layer.requires_grad_(True)
    if layers or not args.freeze_dna_encoder:
        encoder.float()  # as the new weights; the layers below with it, so that one type runs through
    return layers


def prepare_model(model: PreTrainedModel, args: ModelArguments) -> LoraConfig | None:
    """Freeze what is not to be trained; return what PEFT is to adapt, or None for training without LoRA."""
    encoder, language_model = model.model.dna_encoder, model.model.language_model
    language_model.requires_grad_(not (args.freeze_language_model or args.load_in_4bit))
    model.lm_head.requires_grad_(not args.freeze_language_model)
    for name in NEW_MODULES:
        # New weights move by less than bfloat16 can tell apart.
        model.model.get_submodule(name).float()
    layers = prepare_dna_encoder(model.model, args)
    if not args.use_peft:
        return None
    trained = [name for name, module in model.named_modules() if any(module is layer for layer in layers)]
    # By path, since the DNA encoder may have layers of the same names.
    targets = linear_layers("language_model", language_model, args.lora_target_modules)
    if args.lora_dna_encoder:
        targets += "|" + linear_layers("dna_encoder", encoder)
    return LoraConfig(
        revision=args.model_revision,  # beside the name, what the adapter will know its base by
        r=args.lora_r,
        lora_alpha=args.lora_alpha,
        lora_dropout=args.lora_dropout,
        target_modules=targets,
        modules_to_save=NEW_MODULES + trained + ([] if args.freeze_dna_encoder else ["dna_encoder"]),
        task_type="CAUSAL_LM",
    )


def lora_on_encoder(model: PreTrainedModel, args: EncoderArguments) -> LoraConfig:
    """What PEFT is to adapt of a model of the DNA family: its encoder; the head is trained as a whole."""
    head = [name for name, _ in model.named_children() if name != model.base_model_prefix]
    return LoraConfig(
        r=args.lora_r,
        lora_alpha=args.lora_alpha,
        lora_dropout=args.lora_dropout,
        target_modules=linear_layers("dna_encoder", model.base_model.dna_encoder),
        modules_to_save=head,
    )


def synchronize_batch_norms(model: PreTrainedModel) -> None:
    """Let batch norms that learn their statistics in training, of the head or of a whole model that begins at random,
    take them over the batches of all processes. Processes must have a GPU each: on CPUs PyTorch does not do it.

    Args:
        model: Of the DNA family, before a trainer or PEFT wraps it. Names of its weights stay.
    """
    prefix = model.base_model_prefix
    for name, module in list(model.named_children()):
        if name != prefix or model.base_model.trains_batch_norm:
            setattr(model, name, torch.nn.SyncBatchNorm.convert_sync_batchnorm(module))


def linear_layers(part: str, model: PreTrainedModel, names: list[str] | None = None) -> str:
    """A pattern of the linear layers of one part of the model, or of those of its layers that bear the names."""
    if names is None:
        kinds = (torch.nn.Linear, Conv1D)
        names = {name.rpartition(".")[2] for name, module in model.named_modules() if isinstance(module, kinds)}
        # HyenaDNA's filter networks number theirs, as whole blocks are; Mamba reads the weights of its dt_proj.
        names = sorted(name for name in names if not name.isdigit() and name != "dt_proj")
    return rf".*\.{part}\..*\.({'|'.join(names)})"


__all__ = [
    "NEW_MODULES",
    "linear_layers",
    "lora_on_encoder",
    "prepare_dna_encoder",
    "prepare_model",
    "synchronize_batch_norms",
]
