"""`textgenome evaluate`: how good is a model, and does it use the DNA?"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from textgenome.commands.console import command
from textgenome.commands.options import (
    BatchSize,
    DatasetName,
    Dtype,
    EnableThinking,
    MaxNewTokens,
    Model,
    OnBadRow,
    OutputDir,
    Revision,
    Seed,
    Split,
    Synonyms,
    read_synonyms,
)
from textgenome.evaluation.conditions import CONDITIONS


CONTROLS = [name for name, condition in CONDITIONS.items() if condition.kind == "control"]


@command()
def evaluate(
    model: Model,
    dataset_name: DatasetName,
    output_dir: OutputDir,
    split: Split = "validation",
    controls: Annotated[
        str, typer.Option("--controls", help=f"`all`, or some of: {', '.join(CONTROLS)}. Separated by commas.")
    ] = "",
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Fit the trivial baselines on the train split.")
    ] = False,
    text_only_model: Annotated[
        str | None, typer.Option("--text_only_model", help="A model of the same recipe with `dna: none`, to compare.")
    ] = None,
    mode: Annotated[
        Literal["generate", "score", "both"],
        typer.Option(
            help="`generate` writes reasoning and answer; `score` ranks the known answers without reasoning, much "
            "faster; `both` does both.",
        ),
    ] = "generate",
    synonyms: Synonyms = None,
    revision: Revision = "main",
    dtype: Dtype = "auto",
    batch_size: BatchSize = 64,
    enable_thinking: EnableThinking = None,
    max_new_tokens: MaxNewTokens = 1024,
    temperature: Annotated[
        float, typer.Option("--temperature", min=0, help="0 always takes the most likely token; above, sample.")
    ] = 0,
    top_p: Annotated[
        float, typer.Option("--top_p", min=0, max=1, help="With a temperature: share to sample from.")
    ] = 1,
    on_bad_row: OnBadRow = "raise",
    seed: Seed = 0,
) -> None:
    """Evaluate a model on a table: accuracy with intervals, controls and baselines.

    Writes metrics.json, predictions.jsonl (no sequences) and report.html. The same command resumes a run that was
    stopped. Several GPUs share the rows under `accelerate launch -m textgenome.commands evaluate ...`.
    Research use only, not for diagnosis.

    Example: textgenome evaluate --model outputs/starter --dataset_name starter --output_dir outputs/starter/evaluation
    --controls all --baselines
    """
    from textgenome.evaluation import evaluate_model
    from textgenome.evaluation.results import format_table

    names = CONTROLS if controls == "all" else [name.strip() for name in controls.split(",") if name.strip()]
    unknown = [name for name in names if name not in CONTROLS]
    if unknown:
        raise typer.BadParameter(f"{', '.join(unknown)}: choose from {', '.join(CONTROLS)}, or all.")
    sampling = {"do_sample": True, "temperature": temperature, "top_p": top_p} if temperature else {}
    metrics = evaluate_model(
        model,
        dataset_name,
        split,
        output_dir,
        names,
        baselines=baselines,
        text_only_model=text_only_model,
        mode=mode,
        synonyms=read_synonyms(synonyms),
        revision=revision,
        dtype=dtype,
        batch_size=batch_size,
        enable_thinking=enable_thinking,
        on_bad_row=on_bad_row,
        seed=seed,
        max_new_tokens=max_new_tokens,
        **sampling,
    )
    if metrics:
        typer.echo(format_table(metrics))
        typer.echo(f"\n{Path(output_dir) / 'report.html'}")
