"""`textgenome plan`: estimate the memory and the steps of a training run."""

from pathlib import Path
from typing import Annotated

import typer

from textgenome.commands.console import command


@command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def plan(
    ctx: typer.Context,
    config: Annotated[
        str,
        typer.Option(
            "--config", help="Recipe: a file, or a name such as starter. Of `textgenome dna`, only the task tracks."
        ),
    ],
    gpus: Annotated[int, typer.Option("--gpus", min=1, help="Number of GPUs.")] = 1,
    gpu_memory: Annotated[float, typer.Option("--gpu_memory", min=0, help="Memory of each GPU, in GB.")] = 80,
    dataset_name: Annotated[
        str | None,
        typer.Option(
            "--dataset_name", help="Rows to use instead of the recipe's: a local file or folder, or starter."
        ),
    ] = None,
) -> None:
    """Estimate parameters, steps, the least time of a step, and the memory each engine needs, before you launch.

    Needs no weights, GPU or network. To compare settings, add flags of `textgenome sft` or `dna`, which override the
    recipe. Engines are DDP, DeepSpeed's ZeRO and FSDP2, without offload to the CPU. docs/performance.md explains how
    activations are estimated.

    Research use only, not for diagnosis.

    Example: textgenome plan --config kegg --text_model Qwen/Qwen3-4B --dna_model BGI-HangzhouAI/Genos-1.2B --gpus 8

    Example: textgenome plan --config genos_tracks --dna_model BGI-HangzhouAI/Genos-1.2B
    """
    from textgenome.data.built_in import BUILT_IN
    from textgenome.training.planning import USABLE, plan_run
    from textgenome.training.planning_tracks import learns_tracks, plan_tracks
    from textgenome.training.precision import REFUSAL

    if dataset_name and dataset_name not in BUILT_IN and not Path(dataset_name).exists():
        raise typer.BadParameter(f"{dataset_name} is not a file or folder.", param_hint="--dataset_name")
    flags = [*(["--dataset_name", dataset_name] if dataset_name else []), *ctx.args]
    planned = (plan_tracks if learns_tracks(config) else plan_run)(config, gpus, gpu_memory, flags)
    typer.echo(f"Parameters: {planned.total:,}, trained: {planned.trained:,} ({planned.trained / planned.total:.1%})")
    if planned.rows:
        typer.echo(f"Rows: {planned.rows:,} of about {planned.tokens:,.0f} tokens, the longest {planned.longest:,}")
    else:
        typer.echo(
            f"Rows: not at hand, taken to have {planned.longest:,} tokens. For the steps name a file by "
            "--dataset_name, or genome and regions"
        )
    typer.echo(f"A step: {planned.step_rows} rows, about {planned.step_rows * planned.tokens:,.0f} tokens")
    typer.echo("Steps: unknown" if planned.steps is None else f"Steps: {planned.steps:,}")

    typer.echo("\nA step takes at least, computed from operations and memory traffic, in bfloat16:")
    for gpu, (seconds, utilisation) in planned.seconds.items():
        typer.echo(f"{gpu:<8}{seconds:>9.3f} s, {utilisation:.0%} of its peak")

    typer.echo(f"\nGB on each of {gpus} GPUs, activations estimated for the longest rows:")
    columns = ("weights", "gradients", "optimizer", "activations", "total")
    typer.echo(f"{'engine':<8}" + "".join(f"{column:>13}" for column in columns) + f"{'fits':>6}")
    for engine, memory in planned.memory.items():
        figures = "".join(f"{memory[column] / 1e9:>13.3f}" for column in columns)
        typer.echo(f"{engine:<8}{figures}{'yes' if engine in planned.fitting else 'no':>6}")
    if planned.refused:
        typer.echo(f"\n{', '.join(planned.refused)}: no. {REFUSAL}")
    typer.echo(
        f"\n{planned.fitting[0]} is the simplest engine that fits into {USABLE:.0%} of {gpu_memory:g} GB."
        if planned.fitting
        else f"\nNo engine fits into {USABLE:.0%} of {gpu_memory:g} GB: take more GPUs, smaller batches or "
        "windows, or offload to the CPU."
    )
