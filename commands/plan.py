"""`textgenome plan`: how much memory will a training run take, and how many steps has it?"""

from pathlib import Path
from typing import Annotated

import typer
import yaml
from transformers import AutoProcessor, AutoTokenizer
from trl import TrlParser

from textgenome.configuration.arguments import DataArguments, ModelArguments, TrainingArguments
from textgenome.configuration.configuration_textgenome import TextGenomeConfig
from textgenome.data.rows import as_conversations, estimate_lengths, load_rows
from textgenome.processing import TextGenomeProcessor, build_dna_tokenizer, build_processor, train_text_tokenizer
from textgenome.processing.dna_tokenizers import VOCABULARIES, vocabulary_of
from textgenome.training.planning import (
    ENGINES,
    USABLE,
    activation_bytes,
    build_on_meta,
    fused_config,
    memory_per_gpu,
    num_steps,
)
from textgenome.training.precision import REFUSAL, can_keep, float32_weights


# Of a row that is not at hand, beside its two windows: about what the public KEGG rows have.
TEXT_TOKENS = 800


def plan(
    config: Annotated[Path, typer.Option("--config", exists=True, dir_okay=False, help="Recipe of train_sft.py.")],
    gpus: Annotated[int, typer.Option("--gpus", min=1, help="How many GPUs.")] = 1,
    gpu_memory: Annotated[float, typer.Option("--gpu_memory", min=0, help="Memory of each, in GB.")] = 80,
    dataset_name: Annotated[
        str | None,
        typer.Option(
            "--dataset_name", help="Rows in place of the recipe's: a file, a folder, or starter; none from the Hub."
        ),
    ] = None,
) -> None:
    """Print parameters, memory of each GPU under each engine, and steps, without weights, GPU or network.

    To compare settings, change the recipe. Engines are DDP, DeepSpeed's ZeRO and FSDP2, without offload to the CPU.
    Activations are an estimate; docs/throughput.md says what counts.

    Research use only, not for diagnosis.

    Example: textgenome plan --config configuration/recipes/kegg_qwen3_4b_genos_1.2b.yaml --gpus 8 --gpu_memory 80
    """
    if dataset_name and dataset_name != "starter" and not Path(dataset_name).exists():
        raise typer.BadParameter(f"{dataset_name} is no file or folder.", param_hint="--dataset_name")
    flags = ["--config", str(config), "--use_cpu", *(["--dataset_name", dataset_name] if dataset_name else [])]
    parser = TrlParser((DataArguments, ModelArguments, TrainingArguments))
    try:
        data, model_args, training = parser.parse_args_and_config(flags)
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"{config} is no recipe of train_sft.py: {error}") from error
    fused = fused_config(model_args)
    processor = processor_of(data, model_args, fused)
    lengths = lengths_of(data, processor)
    model = build_on_meta(fused, model_args)
    batch_size = training.per_device_train_batch_size
    window = len(processor.dna_tokenizer(("ACGT" * data.dna_window)[: data.dna_window])["input_ids"])
    longest = max(lengths) if lengths else 2 * window + TEXT_TOKENS
    mean = sum(lengths) / len(lengths) if lengths else longest
    activations = activation_bytes(fused, model_args, training, batch_size * longest, batch_size * 2 * window)

    total, trained = (
        sum(each.numel() for each in model.parameters() if each.requires_grad or not only_trained)
        for only_trained in (False, True)
    )
    typer.echo(f"Parameters: {total:,}, trained: {trained:,} ({trained / total:.1%})")
    if lengths:
        typer.echo(f"Rows: {len(lengths):,} of about {mean:,.0f} tokens, the longest {longest:,}")
    else:
        typer.echo(f"Rows: not at hand, taken to have {longest:,} tokens. For the steps name a file by --dataset_name")
    step = batch_size * training.gradient_accumulation_steps * gpus
    typer.echo(f"A step: {step} rows, about {step * mean:,.0f} tokens")
    typer.echo(f"Steps: {num_steps(len(lengths), gpus, training):,}" if lengths else "Steps: unknown")

    typer.echo(f"\nGB on each of {gpus} GPUs, activations estimated for the longest rows:")
    columns = ("weights", "gradients", "optimizer", "activations", "total")
    typer.echo(f"{'engine':<8}" + "".join(f"{column:>13}" for column in columns) + f"{'fits':>6}")
    fitting, refused = [], []
    kept = float32_weights(model) if training.bf16 else {}
    for engine in ENGINES:
        memory = memory_per_gpu(model, engine, gpus, training.bf16) | {"activations": activations}
        memory["total"] = sum(memory.values())
        if engine != "DDP" and not can_keep(kept, sharded=ENGINES[engine][0]):
            refused.append(engine)
        fits = memory["total"] <= USABLE * gpu_memory * 1e9 and engine not in refused
        fitting += [engine] if fits else []
        figures = "".join(f"{memory[column] / 1e9:>13.3f}" for column in columns)
        typer.echo(f"{engine:<8}{figures}{'yes' if fits else 'no':>6}")
    if refused:
        typer.echo(f"\n{', '.join(refused)}: no. {REFUSAL}")
    typer.echo(
        f"\n{fitting[0]} is the simplest engine that fits into {USABLE:.0%} of {gpu_memory:g} GB."
        if fitting
        else f"\nNo engine fits into {USABLE:.0%} of {gpu_memory:g} GB: take more GPUs, smaller batches or "
        "windows, or offload to the CPU."
    )


def processor_of(data: DataArguments, args: ModelArguments, config: TextGenomeConfig) -> TextGenomeProcessor:
    """A processor that counts placeholders as that of the run will."""
    if args.model_name_or_path:
        processor = AutoProcessor.from_pretrained(args.model_name_or_path, revision=args.model_revision)
        data.dna_window = processor.dna_window = data.dna_window or processor.dna_window
        return processor
    data.dna_window = data.dna_window or 2048
    vocabulary = args.dna_tokenizer or vocabulary_of(config.dna_config) or args.dna_model
    build = build_dna_tokenizer if vocabulary in VOCABULARIES else AutoTokenizer.from_pretrained
    dna_tokenizer = build(vocabulary)
    return build_processor(
        train_text_tokenizer([], 0),
        dna_tokenizer,
        data.dna_window,
        projector_type=config.projector_type,
        projector_pool_size=args.projector_pool_size,
        projector_full_resolution=args.projector_full_resolution,
        projector_num_queries=config.projector_num_queries,
    )


def lengths_of(data: DataArguments, processor: TextGenomeProcessor) -> list[int]:
    """Estimated lengths of the rows, none if they are not on this machine."""
    if data.dataset_name != "starter" and not Path(data.dataset_name).exists():
        return []
    options = {"dna": data.dna, "dna_truncation": data.dna_truncation, "dna_window": data.dna_window}
    rows = load_rows(data.dataset_name, data.dataset_train_split, on_bad_row=data.on_bad_row, **options)
    return estimate_lengths(as_conversations(rows, **options), processor)
