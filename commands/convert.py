"""`textgenome convert`: a published Evo2 file to a folder that can be trained and loaded."""

from pathlib import Path
from typing import Annotated

import typer

from textgenome.commands.console import command


@command()
def convert(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="FILE", help="The published file: evo2_1b_base.pt or evo2_7b_base.pt.")
    ],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder to write, which must not be there.")],
) -> None:
    """Turn a published Evo2 file, which is a pickle, into safetensors. Only tensors are read, and no code is run.

    The folder is a dna_model for textgenome sft and textgenome dna, and AutoModelForCausalLM loads it.

    Example: textgenome convert evo2_1b_base.pt evo2_1b_base
    """
    from textgenome.inference.converting_evo2 import convert_evo2

    convert_evo2(checkpoint, folder)
    typer.echo(f"{folder} is written: --dna_model {folder}, or AutoModelForCausalLM.from_pretrained({str(folder)!r})")
