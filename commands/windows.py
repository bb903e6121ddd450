"""`textgenome windows`: training rows from variant calls."""

from pathlib import Path
from typing import Annotated

import typer

from textgenome.commands.console import command
from textgenome.commands.options import FASTA, VCF, OnBadRow, Seed, Window, split_names
from textgenome.commands.split import print_report


Labels = Annotated[
    str, typer.Option("--labels", help="What to learn: the column ID, QUAL or FILTER, or a key of INFO.")
]
Question = Annotated[
    str | None,
    typer.Option(
        "--question",
        help="To ask about each variant; {GENE} is its value of that key of INFO. By default, what its effect is.",
    ),
]
Output = Annotated[Path | None, typer.Option("--output", help="New file (.jsonl), for --dataset_name.")]
OutputDir = Annotated[
    Path | None, typer.Option("--output_dir", help="Or a new folder for the splits train, validation and test.")
]
ValidationContigs = Annotated[
    str | None,
    typer.Option("--validation_contigs", help="With --output_dir: contigs of the validation split, NAME,NAME."),
]
TestContigs = Annotated[
    str | None, typer.Option("--test_contigs", help="With --output_dir: contigs of the test split, NAME,NAME.")
]


@command()
def windows(
    vcf: Annotated[Path, VCF],
    fasta: Annotated[Path, FASTA],
    labels: Labels,
    output: Output = None,
    output_dir: OutputDir = None,
    validation_contigs: ValidationContigs = None,
    test_contigs: TestContigs = None,
    seed: Seed = 0,
    question: Question = None,
    window: Window = None,
    on_bad_row: OnBadRow = "raise",
) -> None:
    """Make a training table from a VCF file: a row for each ALT allele, with its label as the answer.

    With --output_dir the rows are split: by the contigs that are named or, if none is, by locus, as `textgenome split`
    does.

    Example: textgenome windows --vcf clinvar.vcf.gz --fasta genome.fa --labels CLNSIG --output train.jsonl

    Example: textgenome windows --vcf clinvar.vcf.gz --fasta genome.fa --labels CLNSIG --output_dir rows
    --validation_contigs 8 --test_contigs 9,10 --question "What does this variant in {GENE} do?"
    """
    from textgenome.data.files import write_rows
    from textgenome.data.variant_splits import write_by_contig, write_by_locus
    from textgenome.data.variants import QUESTION, read_variants
    from textgenome.processing.processing_dna import DNA_WINDOW

    validation, test = (split_names(names) if names else [] for names in (validation_contigs, test_contigs))
    check_output(output, output_dir, validation + test)
    window = window or DNA_WINDOW
    rows = read_variants(vcf, fasta, question or QUESTION, window, labels, on_bad_row, dna_window=window)
    if output is not None:
        typer.echo(f"{write_rows(rows, output)} rows in {output}")
    elif validation or test:
        for part, size in write_by_contig(rows, output_dir, validation, test).items():
            typer.echo(f"{part}: {size} rows")
    else:
        print_report(write_by_locus(rows, output_dir, seed), "locus")


def check_output(output: Path | None, output_dir: Path | None, held_out: list[str]) -> None:
    """Refuse flags that do not say where to write, or say it twice."""
    if (output is None) == (output_dir is None):
        raise typer.BadParameter("Give --output FILE, or --output_dir FOLDER for splits.")
    if output is None:
        return
    if held_out:
        raise typer.BadParameter("--validation_contigs and --test_contigs need --output_dir.")
    if output.suffix != ".jsonl":
        raise typer.BadParameter(f"{output}: name a file that ends with .jsonl.")
    if output.exists():
        raise typer.BadParameter(f"{output} is there already: name another file.")
