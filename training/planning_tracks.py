"""How much memory of each GPU training a model of tracks takes, before it is run: see `planning.py`."""

from collections.abc import Sequence
from copy import deepcopy
from math import ceil
from pathlib import Path

import torch
import yaml
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from textgenome import TextGenomeDNAConfig, TextGenomeDNAForTrackPrediction
from textgenome.configuration.configuration_textgenome import bases_per_state, build_sub_config
from textgenome.configuration.dna_arguments import DNAArguments, DNAModelArguments, DNATrainingArguments
from textgenome.configuration.recipe_paths import find_recipe
from textgenome.data.windows import tile
from textgenome.genome.bigwig import read_tracks
from textgenome.genome.fasta import open_fasta
from textgenome.inference.checkpoints import check_models
from textgenome.processing.processing_dna import DNA_WINDOW
from textgenome.training.finetuning import prepare_dna_encoder
from textgenome.training.flops import attention_width, backward_share, count_flops, count_matmul_weights, expert_share
from textgenome.training.planning import (
    ENGINES,
    USABLE,
    Plan,
    count_tokens,
    dna_tokenizer_of,
    load_config,
    memory_per_gpu,
    num_steps,
    saved_bytes,
)
from textgenome.training.roofline import seconds_by_gpu
from textgenome.training.scripts import parse_arguments
from textgenome.training.tracks import head_settings, split_regions


KINDS = (DNAArguments, DNATrainingArguments, DNAModelArguments)


def learns_tracks(config: str | Path) -> bool:
    """Whether a recipe is one of the task `tracks`."""
    try:
        recipe = yaml.safe_load(find_recipe(config, "dna").read_text(encoding="utf-8"))
    except (FileNotFoundError, UnicodeDecodeError, yaml.YAMLError):
        return False
    return isinstance(recipe, dict) and recipe.get("task") == "tracks"


def plan_tracks(config: str | Path, gpus: int = 1, gpu_memory: float = 80, flags: Sequence[str] = ()) -> Plan:
    """Plan the training run of a recipe of the task `tracks`, without weights or GPU.

    The number of tracks is that of the table if it is at hand, else 1; so with the windows of the regions. Adafactor
    is planned for DDP alone: where engines divide or flatten weights, it keeps other states.

    Args:
        config: Recipe of `train_dna.py`: a file, or the name of one of the package.
        gpus: How many.
        gpu_memory: Of each, in GB.
        flags: Of `train_dna.py`, in place of lines of the recipe.

    Raises:
        ValueError: If the settings do not fit the script.
    """
    try:
        script_args, training, args = parse_arguments(KINDS, "dna", "", ["--config", str(config), "--use_cpu", *flags])
    except ValueError as error:
        raise ValueError(f"{config} does not fit train_dna.py: {error}") from error
    check_models(args.base_models)
    dna_config = load_config(args.dna_model) if args.dna_model else build_sub_config(args.dna_config, "hyenadna")
    names = [track.name for track in read_tracks(script_args.tracks)] if at_hand(script_args.tracks) else ["track"]
    fields = head_settings(script_args, names, None, None)
    full = TextGenomeDNAConfig(dna_config=dna_config, **fields)
    model = build_on_meta(full, args)
    script_args.dna_window = window = script_args.dna_window or DNA_WINDOW
    tokens = count_tokens(dna_tokenizer_of(args, dna_config), window)
    batch, bases = training.per_device_train_batch_size, training.per_device_train_batch_size * window
    kept = [activation_bytes(full, args, training.bf16, batch, tokens, bases, each) for each in (False, True)]
    factored = str(training.optim).rpartition(".")[2].lower() == "adafactor"
    engines = ["DDP"] if factored else ENGINES
    memory = {engine: memory_per_gpu(model, engine, gpus, training.bf16) for engine in engines}
    for parts in memory.values():
        if factored:
            parts["optimizer"] = adafactor_bytes(model)
        parts["activations"] = kept[training.activation_checkpointing]
        parts["total"] = sum(parts.values())
    rows = count_windows(script_args)
    needed, done = step_operations(model, batch, tokens, bases, training.activation_checkpointing)
    batches = training.gradient_accumulation_steps
    return Plan(
        total=sum(each.numel() for each in model.parameters()),
        trained=sum(each.numel() for each in model.parameters() if each.requires_grad),
        rows=rows,
        tokens=tokens,
        longest=tokens,
        step_rows=batch * batches * gpus,
        steps=num_steps(rows, gpus, training) if rows else None,
        memory=memory,
        refused=[],
        fitting=[each for each in memory if memory[each]["total"] <= USABLE * gpu_memory * 1e9],
        seconds=seconds_by_gpu(needed, done, kept[False], training.activation_checkpointing, batches),
    )


def at_hand(path: str | None) -> bool:
    return path is not None and Path(path).exists()


def count_windows(script_args: DNAArguments) -> int:
    """How many windows there are to train on, those without letters too; 0 if genome and regions are not at hand."""
    given = [script_args.regions, script_args.test_regions, script_args.validation_regions]
    if (
        not at_hand(script_args.fasta)
        or not all(at_hand(each) for each in given if each)
        or not (script_args.test_contigs or script_args.test_regions)
    ):
        return 0
    genome = open_fasta(script_args.fasta)
    train, _, _ = split_regions(script_args, dict(zip(genome.references, genome.lengths)))
    return len(tile(train, script_args.dna_window, script_args.stride))


def build_on_meta(config: TextGenomeDNAConfig, args: DNAModelArguments) -> nn.Module:
    """The model as it is trained: a frozen encoder has the data type of its checkpoint, all else is float32."""
    with torch.device("meta"):
        model = TextGenomeDNAForTrackPrediction(config)
        dtype = config.dna_config.dtype if args.dtype == "auto" else args.dtype
        model.model.dna_encoder.to(getattr(torch, str(dtype or "float32").removeprefix("torch.")))
        prepare_dna_encoder(model.model, args)
    return model


def adafactor_bytes(model: nn.Module) -> int:
    """The states of Adafactor: of a matrix the means of its rows and columns, in float32 (arXiv 1804.04235)."""
    total = 0
    for each in model.parameters():
        if each.requires_grad:
            shape = each.shape
            sizes = (shape[:-1], shape[:-2] + shape[-1:]) if len(shape) > 1 else (shape,)
            total += 4 * sum(size.numel() for size in sizes)
    return total


def activation_bytes(
    config: TextGenomeDNAConfig,
    args: DNAModelArguments,
    bf16: bool,
    rows: int,
    tokens: int,
    bases: int,
    checkpointing: bool,
) -> float:
    """An estimate of what the backward pass of one batch needs, as `planning.activation_bytes` counts it.

    Args:
        config: Of the model.
        args: Whether the encoder is trained.
        bf16: Whether the run computes in bfloat16.
        rows: In a batch.
        tokens: Of a row.
        bases: Of all rows.
        checkpointing: Whether of the layers only their inputs are kept, and one layer.
    """
    small, layers, step = deepcopy(config), 1, bases_per_state(config.dna_config)
    small.dna_feature_layer = -1
    if step == 1:  # one of many layers that are alike; of a network that begins with convolutions the whole
        layers, small.dna_config.num_hidden_layers = config.dna_config.num_hidden_layers, 1
        if getattr(small.dna_config, "layer_types", None):
            small.dna_config.layer_types = small.dna_config.layer_types[:1]
    model = build_on_meta(small, args).train()
    encoder, trains = model.model.dna_encoder, model.model.trains_dna_encoder
    encoder.bfloat16()  # in which alone the kernel for experts can be counted
    bins = ceil(bases / rows / config.track_resolution)
    with FakeTensorMode(allow_non_fake_inputs=True), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        model.to_empty(device="cpu")
        states = torch.zeros(rows, bins, config.dna_feature_size, requires_grad=True)
        with torch.autocast("cpu", enabled=False):  # as the head computes
            total = saved_bytes(model.head, states=states, mask=torch.ones(rows, bins, dtype=torch.bool))
        if trains:
            kept = saved_bytes(encoder, input_ids=torch.zeros(rows, tokens, dtype=torch.long)) * (1 if bf16 else 2)
            inputs = rows * ceil(tokens / step) * config.dna_config.hidden_size * (2 if bf16 else 4)
            total += layers * inputs + kept if checkpointing else layers * kept
    return total


def step_operations(
    model: TextGenomeDNAForTrackPrediction, rows: int, tokens: int, bases: int, checkpointing: bool
) -> tuple[float, float]:
    """Floating point operations of a batch: those that are needed, and those that are done."""
    config, encoder = model.config.dna_config, model.model.dna_encoder
    weights = count_matmul_weights(encoder, expert_share(config))
    width = attention_width(config, encoder)
    backward = backward_share(model.model)
    needed = count_flops(*weights, width, rows * tokens, rows * tokens**2, backward)
    head = sum(each.numel() for each in model.head.parameters())
    needed += count_flops(head, head, 0, bases // model.config.track_resolution, 0)
    again = backward * (2 * weights[0] * rows * tokens + 4 * width * rows * tokens**2)
    return needed, needed + (again if checkpointing else 0)


__all__ = ["learns_tracks", "plan_tracks"]
