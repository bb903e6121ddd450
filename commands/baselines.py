"""`textgenome baselines`: fit and evaluate what a model must beat."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from textgenome.commands.console import command
from textgenome.commands.options import (
    Columns,
    DatasetName,
    LocusColumn,
    OnBadRow,
    OutputDir,
    Seed,
    Split,
    Synonyms,
    TableQuestion,
    read_synonyms,
)


ProblemType = Annotated[
    Literal["single_label_classification", "multi_label_classification", "regression"] | None,
    typer.Option(
        "--problem_type",
        help="Kind of the labels of rows without a question. By default, it is inferred from the labels.",
    ),
]


@command()
def baselines(
    dataset_name: DatasetName,
    output_dir: OutputDir,
    split: Split = "validation",
    synonyms: Synonyms = None,
    on_bad_row: OnBadRow = "raise",
    seed: Seed = 0,
    problem_type: ProblemType = None,
    locus_column: LocusColumn = None,
    columns: Columns = None,
    question: TableQuestion = None,
) -> None:
    """Fit baselines on the train split and evaluate them; this needs no model.

    For sequences or pairs with a label: majority or mean, the change in its context, regression on 3-5-mers, and a
    small CNN trained from scratch in about 40 CPU seconds, once more with shuffled labels. For rows with a question:
    majority, question look-up, regression on its words, nearest neighbour by 16-mers, regression on 6-mers. Rows that
    repeat the sequences of a train row are counted and left out. Writes metrics.json and report.html.

    Example: textgenome baselines --dataset_name my_rows --split val --output_dir outputs/baselines
    """
    from textgenome.data.forms import TableForm
    from textgenome.evaluation import evaluate_baselines
    from textgenome.evaluation.reporting import format_table

    metrics = evaluate_baselines(
        dataset_name,
        split,
        output_dir,
        synonyms=read_synonyms(synonyms),
        on_bad_row=on_bad_row,
        seed=seed,
        problem_type=problem_type,
        locus_column=locus_column,
        form=TableForm.parse(columns, question),
    )
    typer.echo(format_table(metrics))
    typer.echo(f"\n{Path(output_dir) / 'report.html'}")
