"""The console script `textgenome`."""

import typer

from textgenome.commands.env import env
from textgenome.commands.export import export
from textgenome.commands.push import push


app = typer.Typer(
    help="A language model that reads DNA. Research use only, not for diagnosis.",
    no_args_is_help=True,
    add_completion=False,
)
for command in (export, push, env):
    app.command()(command)

__all__ = ["app"]
