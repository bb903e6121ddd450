"""How much memory of each GPU a training run takes, before it is run: counted on the meta device, without weights."""

from collections.abc import Sequence
from copy import copy, deepcopy
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

import torch
import yaml
from peft import get_peft_model
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from transformers import AutoConfig, AutoProcessor, AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerBase

from textgenome.configuration.arguments import DataArguments, ModelArguments, TrainingArguments
from textgenome.configuration.base_models import BASE_MODELS, base_model_config
from textgenome.configuration.configuration_textgenome import TextGenomeConfig, bases_per_state, build_sub_config
from textgenome.data.built_in import BUILT_IN
from textgenome.data.rows import as_conversations, estimate_lengths
from textgenome.inference.checkpoints import check_models
from textgenome.modeling_textgenome import TextGenomeForConditionalGeneration, TextGenomeModel
from textgenome.processing import TextGenomeProcessor, build_dna_tokenizer, build_processor, train_text_tokenizer
from textgenome.processing.dna_tokenizers import VOCABULARIES, vocabulary_of
from textgenome.processing.processing_dna import DNA_WINDOW
from textgenome.training.finetuning import prepare_model
from textgenome.training.fused import load_train_rows
from textgenome.training.joining import choose_features, projector_options
from textgenome.training.precision import can_keep, float32_weights
from textgenome.training.roofline import seconds_by_gpu, step_operations
from textgenome.training.scripts import parse_arguments


# Which of weights, gradients and optimizer states are divided by the number of GPUs.
ENGINES = {
    "DDP": (False, False, False),
    "ZeRO-1": (False, False, True),
    "ZeRO-2": (False, True, True),
    "ZeRO-3": (True, True, True),
    "FSDP2": (True, True, True),
}
LIVE = 1e9  # parameters that ZeRO-3 holds whole at a time, `stage3_max_live_parameters` by default
# Of a weight in 4 bits: 4, and 0.127 of the constants of its block of 64, which are quantized too (arXiv 2305.14314).
FOUR_BITS = 4.127 / 8
USABLE = 0.9  # of a GPU's memory: the rest is for the context, communication buffers and fragmentation
# Of a row that is not at hand, beside its two windows: about what the public KEGG rows have.
TEXT_TOKENS = 800


@dataclass(frozen=True)
class Plan:
    """What a training run takes.

    Attributes:
        total: Parameters of the model, adapters included.
        trained: How many of them are trained.
        rows: How many there are to train on, 0 if they are not on this machine.
        tokens: Mean length of a row.
        longest: Length of the longest row.
        step_rows: Rows of a step of the optimizer, on all GPUs together.
        steps: Of the optimizer; None if the rows are not on this machine.
        memory: For each of `ENGINES` that the run may have, bytes on a GPU: those of `memory_per_gpu`, `activations`
            and their `total`.
        refused: Engines that cannot keep in float32 what the model needs so, see `can_keep`.
        fitting: Engines that fit, the simplest first.
        seconds: By the name of a GPU, the least time of a step of the optimizer, and the utilisation, the share of
            the GPU's peak that it would be. Computed, see `roofline.py`.
    """

    total: int
    trained: int
    rows: int
    tokens: float
    longest: int
    step_rows: int
    steps: int | None
    memory: dict[str, dict[str, float]]
    refused: list[str]
    fitting: list[str]
    seconds: dict[str, tuple[float, float]]


def plan_run(config: str | Path, gpus: int = 1, gpu_memory: float = 80, flags: Sequence[str] = ()) -> Plan:
    """Plan the training run of a recipe, without weights, GPU or network.

    Args:
        config: Recipe of `train_sft.py`: a file, or the name of one of the package.
        gpus: How many.
        gpu_memory: Of each, in GB.
        flags: Of `train_sft.py`, in place of lines of the recipe.

    Raises:
        FileNotFoundError: If there is no such recipe.
        ValueError: If it is one of another script.
    """
    data, training, args = read_recipe(config, flags)
    fused = fused_config(args)
    processor = processor_of(data, args, fused)
    lengths = lengths_of(data, processor, training.seed)
    model = build_on_meta(fused, args)
    batch_size = training.per_device_train_batch_size
    window = count_tokens(processor.dna_tokenizer, data.dna_window)
    longest = max(lengths) if lengths else 2 * window + TEXT_TOKENS
    mean = round(sum(lengths) / len(lengths)) if lengths else longest
    activations = activation_bytes(fused, args, training, batch_size * longest, batch_size * 2 * window)
    engines = ["DDP"] if args.load_in_4bit else list(ENGINES)  # others would divide the weights
    memory = {engine: memory_per_gpu(model, engine, gpus, training.bf16) for engine in engines}
    if args.load_in_4bit:
        memory["DDP"]["weights"] -= bytes_saved(model)
    for parts in memory.values():
        parts["activations"] = activations
        parts["total"] = sum(parts.values())
    kept = float32_weights(model) if training.bf16 else {}
    refused = [each for each in engines if each != "DDP" and not can_keep(kept, sharded=ENGINES[each][0])]
    usable = USABLE * gpu_memory * 1e9
    return Plan(
        total=sum(each.numel() for each in model.parameters()),
        trained=sum(each.numel() for each in model.parameters() if each.requires_grad),
        rows=len(lengths),
        tokens=sum(lengths) / len(lengths) if lengths else longest,
        longest=longest,
        step_rows=batch_size * training.gradient_accumulation_steps * gpus,
        steps=num_steps(len(lengths), gpus, training) if lengths else None,
        memory=memory,
        refused=refused,
        fitting=[each for each in engines if memory[each]["total"] <= usable and each not in refused],
        seconds=least_seconds(model, fused, args, training, (mean, window, max(mean - 2 * window, 0) // 2)),
    )


def least_seconds(
    model: nn.Module,
    config: TextGenomeConfig,
    args: ModelArguments,
    training: TrainingArguments,
    lengths: tuple[int, int, int],
) -> dict[str, tuple[float, float]]:
    """See `Plan.seconds`; `lengths` are tokens of a row, of each of its windows, and with a label."""
    rows, checkpointing = training.per_device_train_batch_size, training.activation_checkpointing
    needed, done = step_operations(model, config, lengths, rows, checkpointing)
    whole = copy(training)
    whole.activation_checkpointing = False
    kept = activation_bytes(config, args, whole, rows * lengths[0], 2 * rows * lengths[1])
    return seconds_by_gpu(needed, done, kept, checkpointing, training.gradient_accumulation_steps)


def count_tokens(dna_tokenizer: PreTrainedTokenizerBase, window: int) -> int:
    """How many tokens a window of so many bases has."""
    return len(dna_tokenizer(("ACGT" * window)[:window])["input_ids"])


def read_recipe(
    config: str | Path, flags: Sequence[str] = ()
) -> tuple[DataArguments, TrainingArguments, ModelArguments]:
    """The settings of a recipe of `train_sft.py` with flags in place of some of its lines.

    Raises:
        FileNotFoundError: If there is no such recipe.
        ValueError: If it is one of another script.
    """
    kinds = (DataArguments, TrainingArguments, ModelArguments)
    try:
        return parse_arguments(kinds, "sft", "", ["--config", str(config), "--use_cpu", *flags])
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"{config} does not fit train_sft.py: {error}") from error


def fused_config(args: ModelArguments) -> TextGenomeConfig:
    """The configuration of the model that `train_sft.py` would train.

    The sizes of the base models that recipes name need no network; those of others are read from their folder or
    from the Hub.
    """
    check_models(args.base_models)
    if name := args.model_name_or_path:
        return AutoConfig.from_pretrained(name, revision=args.model_revision, trust_remote_code=False)
    if args.text_model:
        text = load_config(args.text_model)
    else:
        text = build_sub_config({**args.text_config, "vocab_size": args.text_vocab_size}, "qwen3")
    dna = load_config(args.dna_model) if args.dna_model else build_sub_config(args.dna_config, "hyenadna")
    dna = getattr(dna, "dna_config", dna)
    return TextGenomeConfig(
        text_config=text,
        dna_config=dna,
        projector_type=args.projector_type or "linear",
        projector_num_queries=args.projector_num_queries,
        **choose_features(args, dna_tokenizer_of(args, dna)),
    )


def dna_tokenizer_of(args: ModelArguments, dna_config: PreTrainedConfig) -> PreTrainedTokenizerBase:
    vocabulary = args.dna_tokenizer or vocabulary_of(dna_config) or args.dna_model
    if vocabulary in VOCABULARIES:
        return build_dna_tokenizer(vocabulary)
    return AutoTokenizer.from_pretrained(vocabulary, trust_remote_code=False)


def processor_of(data: DataArguments, args: ModelArguments, config: TextGenomeConfig) -> TextGenomeProcessor:
    """A processor that counts placeholders as that of the run will."""
    if name := args.model_name_or_path:
        processor = AutoProcessor.from_pretrained(name, revision=args.model_revision, trust_remote_code=False)
        data.dna_window = processor.dna_window = data.dna_window or processor.dna_window
        return processor
    data.dna_window = data.dna_window or DNA_WINDOW
    dna_tokenizer = dna_tokenizer_of(args, config.dna_config)
    projector = projector_options(args, dna_tokenizer) | {"bases_per_state": bases_per_state(config.dna_config)}
    return build_processor(train_text_tokenizer([], 0), dna_tokenizer, data.dna_window, **projector)


def lengths_of(data: DataArguments, processor: TextGenomeProcessor, seed: int) -> list[int]:
    """Estimated lengths of the rows, none if they are not on this machine."""
    paths = [table.path for table in data.datasets] or [data.dataset_name]
    if not all(path in BUILT_IN or Path(path).exists() for path in paths):
        return []
    shown = {"dna": data.dna, "dna_truncation": data.dna_truncation}
    rows = load_train_rows(data, seed, dna_window=data.dna_window, **shown)
    return estimate_lengths(as_conversations(rows, **shown), processor)


def load_config(name: str) -> PreTrainedConfig:
    if name in BASE_MODELS:
        return base_model_config(name)
    return AutoConfig.from_pretrained(name, trust_remote_code=False)


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


def bytes_saved(model: nn.Module) -> float:
    """How many bytes the frozen linear layers of the language model have less in 4 bits."""
    fused = next(module for module in model.modules() if isinstance(module, TextGenomeModel))
    layers = [each.weight for each in fused.language_model.modules() if type(each) is nn.Linear]
    return sum(each.nbytes - FOUR_BITS * each.numel() for each in layers if not each.requires_grad)


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
    small.dna_feature_layer, small.dna_feature_module = -1, None
    for part in (small.text_config, small.dna_config):
        part.num_hidden_layers = 1
        if getattr(part, "layer_types", None):
            part.layer_types = part.layer_types[:1]
    rows = training.per_device_train_batch_size
    dna_tokens *= 1 if config.both_strands == "none" else 2
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
    "Plan",
    "activation_bytes",
    "build_on_meta",
    "count_tokens",
    "fused_config",
    "memory_per_gpu",
    "num_steps",
    "plan_run",
]
