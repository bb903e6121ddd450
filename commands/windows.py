"""`textgenome windows`: training rows from variant calls."""

from pathlib import Path
from typing import Annotated

import typer

from textgenome.commands.console import command
from textgenome.commands.options import FASTA, VCF, OnBadRow, Window


@command()
def windows(
    vcf: Annotated[Path, VCF],
    fasta: Annotated[Path, FASTA],
    labels: Annotated[
        str, typer.Option("--labels", help="What to learn: the column ID, QUAL or FILTER, or a key of INFO.")
    ],
    output: Annotated[Path, typer.Option("--output", help="New file (.jsonl), for --dataset_name.")],
    question: Annotated[
        str | None, typer.Option("--question", help="To be asked about each variant; by default, what its effect is.")
    ] = None,
    window: Window = None,
    on_bad_row: OnBadRow = "raise",
) -> None:
    """Make a training table of a VCF file: a row for each ALT allele, with its label as the answer.

    Example: textgenome windows --vcf clinvar.vcf.gz --fasta genome.fa --labels CLNSIG --output train.jsonl
    """
    from textgenome.data.files import write_rows
    from textgenome.data.variants import QUESTION, read_variants
    from textgenome.processing.processing_dna import DNA_WINDOW

    if output.suffix != ".jsonl":
        raise typer.BadParameter(f"{output}: name a file that ends with .jsonl.")
    if output.exists():
        raise typer.BadParameter(f"{output} is there already: name another file.")
    window = window or DNA_WINDOW
    rows = read_variants(vcf, fasta, question or QUESTION, window, labels, on_bad_row, dna_window=window)
    typer.echo(f"{write_rows(rows, output)} rows in {output}")
