"""`textgenome split`: train, validation and test files, by locus or at random."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from textgenome.commands.console import command
from textgenome.commands.options import Columns, LocusColumn, LocusPattern, OnBadRow, Seed, TableQuestion


@command()
def split(
    dataset_name: Annotated[
        str, typer.Option("--dataset_name", help="File, folder or Hub id. Its splits are joined first.")
    ],
    output_dir: Annotated[
        Path, typer.Option("--output_dir", help="New folder for train, validation and test (Parquet).")
    ],
    by: Annotated[
        Literal["random", "locus"],
        typer.Option(
            help="`random` splits 8:1:1; `locus` about 8:1:1, with no locus, sequence or 64-mer in two parts."
        ),
    ] = "locus",
    seed: Seed = 0,
    locus_column: LocusColumn = None,
    locus_pattern: LocusPattern = None,
    columns: Columns = None,
    question: TableQuestion = None,
    on_bad_row: OnBadRow = "raise",
) -> None:
    """Split a table into train, validation and test, and count what they share.

    A random split of variants measures memory, since most evaluated loci are also in train. Split by locus to evaluate
    on new DNA. Writes the counts beside the files, as split.json.

    Example: textgenome split --dataset_name FOLDER --by locus --output_dir outputs/locus
    """
    from textgenome.data.forms import TableForm
    from textgenome.data.splits import write_splits

    form = TableForm.parse(columns, question)
    report = write_splits(dataset_name, output_dir, by, seed, locus_column, locus_pattern, on_bad_row, form)
    print_report(report, by)


def print_report(report: dict, by: str) -> None:
    """Print what `write_splits` returns."""
    if by == "locus" and "locus" not in report["leakage"]["test"]:
        typer.echo("No row names its locus (see --locus_column): rows are grouped by their DNA alone.")
    for part, rows in report["sizes"].items():
        typer.echo(f"{part}: {rows} rows")
    typer.echo("Evaluated answers, with their rows in train / validation / test:")
    for answer, counts in report["answers_evaluated"].items():
        typer.echo(f"- {answer}: {' / '.join(map(str, counts.values()))}")
    kept = ", ".join(f"{answer} ({rows})" for answer, rows in report["answers_in_train_only"].items())
    typer.echo(f"Answers in train only: {kept or 'none'}")
    for part, shared in report["leakage"].items():
        counts = ", ".join(f"{name} {rows}" for name, rows in shared.items())
        typer.echo(f"Rows of {part} that share with train: {counts}")
