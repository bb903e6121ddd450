"""`textgenome grpo`: train by reward."""

import typer

from textgenome.commands.console import handing_on


@handing_on()
def grpo(ctx: typer.Context) -> None:
    """Train a model that answers questions about DNA by reward (GRPO). Example: textgenome grpo --config starter"""
    from textgenome.training.grpo import main

    main(ctx.args, "textgenome grpo")
