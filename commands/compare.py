"""`textgenome compare`: which of several evaluated runs is better?"""

from pathlib import Path
from typing import Annotated

import typer

from textgenome.commands.console import command
from textgenome.commands.options import OutputDir


@command()
def compare(
    runs: Annotated[
        list[Path], typer.Argument(help="Folders of two runs or more, each with what `textgenome evaluate` wrote.")
    ],
    output_dir: OutputDir,
) -> None:
    """Compare evaluated runs with the first one: one table and page, paired intervals and tests.

    The runs were evaluated on the same rows with the same seed. Writes metrics.json and report.html, with the settings
    that differ and the training curves.

    Example: textgenome compare outputs/mean outputs/attention --output_dir outputs/compared
    """
    from textgenome.evaluation.comparing import compare_runs
    from textgenome.evaluation.reporting import format_table

    typer.echo(format_table(compare_runs(runs, output_dir)))
    typer.echo(f"\n{output_dir / 'report.html'}")
