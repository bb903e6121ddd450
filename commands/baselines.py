"""`textgenome baselines`: what a model must beat."""

from pathlib import Path

import typer

from textgenome.commands.console import command
from textgenome.commands.options import DatasetName, OnBadRow, OutputDir, Seed, Split, Synonyms, read_synonyms


@command()
def baselines(
    dataset_name: DatasetName,
    output_dir: OutputDir,
    split: Split = "validation",
    synonyms: Synonyms = None,
    on_bad_row: OnBadRow = "raise",
    seed: Seed = 0,
) -> None:
    """Fit trivial baselines on the train split and evaluate them; no model is needed.

    Majority class, question look-up, regression on the words of the question, nearest neighbour by 16-mers, regression
    on 6-mers. Writes metrics.json and report.html.

    Example: textgenome baselines --dataset_name my_rows --split val --output_dir outputs/baselines
    """
    from textgenome.evaluation import evaluate_baselines
    from textgenome.evaluation.reporting import format_table

    metrics = evaluate_baselines(
        dataset_name, split, output_dir, synonyms=read_synonyms(synonyms), on_bad_row=on_bad_row, seed=seed
    )
    typer.echo(format_table(metrics))
    typer.echo(f"\n{Path(output_dir) / 'report.html'}")
