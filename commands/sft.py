"""`textgenome sft`: run `train_sft.py`."""

import typer

from textgenome.commands.console import handing_on


@handing_on()
def sft(ctx: typer.Context) -> None:
    """Fine-tune a language model that reads DNA. Example: textgenome sft --config starter"""
    from textgenome.training.sft import main

    main(ctx.args, "textgenome sft")
