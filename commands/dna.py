"""`textgenome dna`: run `train_dna.py`."""

import typer

from textgenome.commands.console import handing_on


@handing_on()
def dna(ctx: typer.Context) -> None:
    """Train a head on a DNA encoder: classes, labels, signals or values. Example: textgenome dna --config starter"""
    from textgenome.training.dna import main

    main(ctx.args, "textgenome dna")
