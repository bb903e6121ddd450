"""`textgenome dna`: what `train_dna.py` does."""

import typer

from textgenome.commands.console import handing_on


@handing_on()
def dna(ctx: typer.Context) -> None:
    """Train a model of DNA alone. Example: textgenome dna --config starter"""
    from textgenome.training.dna import main

    main(ctx.args, "textgenome dna")
