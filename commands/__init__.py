"""The console script `textgenome`."""

import typer
from typer.core import TyperGroup

from textgenome.commands.ask import ask
from textgenome.commands.baselines import baselines
from textgenome.commands.env import env
from textgenome.commands.evaluate import evaluate
from textgenome.commands.export import export
from textgenome.commands.plan import plan
from textgenome.commands.push import push
from textgenome.commands.serve import serve
from textgenome.commands.split import split
from textgenome.commands.windows import windows


class Commands(TyperGroup):
    """Commands whose users read what went wrong, not where in the code."""

    def invoke(self, ctx: typer.Context):
        try:
            return super().invoke(ctx)
        except (OSError, ValueError) as error:
            typer.echo(f"Error: {error}", err=True)
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=Commands,
    help="A language model that reads DNA. Research use only, not for diagnosis.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for command in (plan, evaluate, baselines, split, ask, windows, export, push, serve, env):
    app.command()(command)

__all__ = ["app"]
