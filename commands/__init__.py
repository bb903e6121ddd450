"""The console script `textgenome`."""

import typer

from textgenome.commands.env import env
from textgenome.commands.split import split


app = typer.Typer(
    help="A language model that reads DNA. Research use only, not for diagnosis.",
    no_args_is_help=True,
    add_completion=False,
)
app.command()(env)
app.command()(split)


__all__ = ["app"]
