"""`textgenome convert`: convert a published Evo2 file to a folder that transformers loads."""

from pathlib import Path
from typing import Annotated

import typer

from textgenome.commands.console import command


@command()
def convert(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="FILE", help="The published file: evo2_1b_base.pt or evo2_7b_base.pt.")
    ],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="New folder to write.")],
    prompts: Annotated[
        Path | None,
        typer.Option(
            "--prompts",
            exists=True,
            dir_okay=False,
            help="The prompts.csv of Evo2's authors: predict its sequences, to compare with their published figures.",
        ),
    ] = None,
) -> None:
    """Convert a published Evo2 file, which is a pickle, to safetensors. Reads tensors only, and runs no code.

    Name the folder as the dna_model of textgenome sft and textgenome dna, or load it by AutoModelForCausalLM.

    Example: textgenome convert evo2_1b_base.pt evo2_1b_base
    """
    from textgenome.inference.converting_evo2 import convert_evo2
    from textgenome.inference.next_bases import read_prompts

    sequences = read_prompts(prompts) if prompts else []
    convert_evo2(checkpoint, folder)
    typer.echo(
        f"Wrote {folder}. Use it by --dna_model {folder}, or AutoModelForCausalLM.from_pretrained({str(folder)!r})"
    )
    if sequences:
        print_check(folder, sequences)


def print_check(folder: Path, sequences: list[str]) -> None:
    """Print how well a converted model predicts sequences, beside the figures for the four prompts of its authors."""
    from textgenome.inference.language_models import load_language_model
    from textgenome.inference.next_bases import measure_next_bases

    loss, accuracy = measure_next_bases(load_language_model(str(folder)), sequences)
    typer.echo(
        f"Next bases of {len(sequences)} sequences: loss {loss:.4f}, accuracy {accuracy:.2%}. Published for the four "
        "prompts: 0.502 and 79.56% of evo2_1b_base, 0.352 and 85.92% of evo2_7b_base."
    )
