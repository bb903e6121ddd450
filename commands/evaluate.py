"""`textgenome evaluate`: accuracy, controls and baselines of a model."""

from typing import Annotated, Literal

import typer

from textgenome.commands.console import command
from textgenome.commands.options import (
    BatchSize,
    Columns,
    DatasetName,
    Dtype,
    EnableThinking,
    LocusColumn,
    LocusPattern,
    MaxNewTokens,
    Model,
    OnBadRow,
    OutputDir,
    Revision,
    Seed,
    Split,
    Synonyms,
    TableQuestion,
    read_synonyms,
    split_names,
)
from textgenome.evaluation.conditions import CONDITIONS


# The labels are shuffled where baselines are fitted: no model is asked.
CONTROLS = [name for name, each in CONDITIONS.items() if each.kind == "control" and name != "labels_shuffled"]


Controls = Annotated[
    str,
    typer.Option(
        "--controls",
        help=f"`all`, or names separated by commas: {', '.join(CONTROLS)}. Combine two by `+`: "
        "constant_question+dna_exchanged.",
    ),
]
Baselines = Annotated[
    bool, typer.Option("--baselines", help="Also fit baselines on the train split and evaluate them.")
]
TextOnlyModel = Annotated[
    str | None,
    typer.Option("--text_only_model", help="Model to compare with, trained by the same recipe with `dna: none`."),
]
Mode = Annotated[
    Literal["generate", "score", "both"],
    typer.Option(
        help="`generate` writes reasoning and answer; `score` ranks the known answers without reasoning, which "
        "is much faster; `both` does both.",
    ),
]
Temperature = Annotated[
    float, typer.Option("--temperature", min=0, help="Sampling temperature; 0 takes the most likely token.")
]
TopP = Annotated[
    float,
    typer.Option(
        "--top_p", min=0, max=1, help="With a temperature: cumulative probability of the tokens to sample from."
    ),
]
ConstantQuestion = Annotated[
    str | None,
    typer.Option(
        "--constant_question",
        help="Question for the control `constant_question`. Defaults to one that suits the data set.",
    ),
]
ExplainMistakes = Annotated[
    int,
    typer.Option(
        "--explain_mistakes",
        min=0,
        max=20,
        help="Draw what so many of the worst mistakes depend on, in the report, which then shows their bases.",
    ),
]


@command()
def evaluate(
    model: Model,
    dataset_name: DatasetName,
    output_dir: OutputDir,
    split: Split = "validation",
    controls: Controls = "",
    baselines: Baselines = False,
    text_only_model: TextOnlyModel = None,
    mode: Mode = "generate",
    synonyms: Synonyms = None,
    revision: Revision = "main",
    dtype: Dtype = "auto",
    batch_size: BatchSize = 64,
    enable_thinking: EnableThinking = None,
    max_new_tokens: MaxNewTokens = 1024,
    temperature: Temperature = 0,
    top_p: TopP = 1,
    on_bad_row: OnBadRow = "raise",
    seed: Seed = 0,
    constant_question: ConstantQuestion = None,
    locus_column: LocusColumn = None,
    locus_pattern: LocusPattern = None,
    columns: Columns = None,
    question: TableQuestion = None,
    explain_mistakes: ExplainMistakes = 0,
) -> None:
    """Evaluate a model on a table: accuracy with intervals, controls and baselines.

    Writes metrics.json, predictions.jsonl (without sequences) and report.html. Run the same command again to resume an
    interrupted run. Several GPUs share the rows under `accelerate launch -m textgenome.commands evaluate ...`.
    Research use only, not for diagnosis.

    Example: textgenome evaluate --model outputs/starter --dataset_name starter --output_dir outputs/starter/evaluation
    --controls all --baselines
    """
    from textgenome.data.forms import TableForm
    from textgenome.evaluation import evaluate_model
    from textgenome.evaluation.reporting import format_table

    options = {"baselines": baselines, "text_only_model": text_only_model, "mode": mode, "revision": revision}
    options |= {"dtype": dtype, "batch_size": batch_size, "enable_thinking": enable_thinking, "seed": seed}
    options |= {"on_bad_row": on_bad_row, "synonyms": read_synonyms(synonyms), "max_new_tokens": max_new_tokens}
    description = {"constant_question": constant_question, "locus_column": locus_column}
    options["description"] = {**description, "locus_pattern": locus_pattern}
    options |= {"form": TableForm.parse(columns, question), "explain_mistakes": explain_mistakes}
    if temperature:
        options |= {"do_sample": True, "temperature": temperature, "top_p": top_p}
    metrics = evaluate_model(model, dataset_name, split, output_dir, read_controls(controls), **options)
    if metrics:
        typer.echo(format_table(metrics))
        typer.echo(f"\n{output_dir / 'report.html'}")


def read_controls(controls: str) -> list[str]:
    """The names of controls, of `all` those of all."""
    names = CONTROLS if controls == "all" else [name for name in split_names(controls) if name]
    unknown = [name for name in names if not set(name.split("+")) <= set(CONTROLS)]
    if unknown:
        raise typer.BadParameter(f"{', '.join(unknown)}: choose from {', '.join(CONTROLS)}, or all.")
    return names
