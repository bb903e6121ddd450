"""`textgenome compare`: compare evaluated runs."""

from pathlib import Path
from typing import Annotated

import typer

from textgenome.commands.console import command
from textgenome.commands.options import OutputDir


@command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Two or more folders that `textgenome evaluate` wrote.")],
    output_dir: OutputDir,
) -> None:
    """Compare evaluated runs with the first one in a table and a page, with paired intervals and tests.

    The runs must be evaluated on the same rows with the same seed. Writes metrics.json and report.html, with the
    settings that differ and the training curves.

    Example: textgenome compare outputs/mean outputs/attention --output_dir outputs/compared
    """
    from textgenome.evaluation.comparing import compare_runs
    from textgenome.evaluation.reporting import format_table

    typer.echo(format_table(compare_runs(runs, output_dir)))
    typer.echo(f"\n{output_dir / 'report.html'}")
