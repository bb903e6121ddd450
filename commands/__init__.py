"""The console script `textgenome`."""

import typer

from textgenome.commands.env import env


app = typer.Typer(
    help="A language model that reads DNA. Research use only, not for diagnosis.",
    no_args_is_help=True,
    add_completion=False,
)
app.command()(env)


@app.callback()
def textgenome() -> None:
    # With a callback typer keeps `env` a subcommand although it is the only one.
    pass


__all__ = ["app"]
