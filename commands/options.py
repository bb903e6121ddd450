"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, Literal

import typer


Model = Annotated[
    str,
    typer.Option(
        "--model",
        help="Output folder of a training run, one of its checkpoints, an adapter folder, or a Hub id. The first "
        "argument means the same.",
    ),
]
Revision = Annotated[str, typer.Option("--revision", help="Revision of a model on the Hub.")]
Dtype = Annotated[
    Literal["auto", "bfloat16", "float16", "float32"], typer.Option("--dtype", help="Data type for the weights.")
]
BatchSize = Annotated[int, typer.Option("--batch_size", min=1, help="Batch size.")]
EnableThinking = Annotated[
    bool | None,
    typer.Option(
        "--enable_thinking/--no_enable_thinking",
        help="Reason before answering. By default, if the model was trained to.",
    ),
]
MaxNewTokens = Annotated[
    int, typer.Option("--max_new_tokens", min=1, help="Maximum number of new tokens to generate.")
]
DatasetName = Annotated[
    str,
    typer.Option(
        "--dataset_name",
        help="A JSON, JSON lines, CSV, TSV or Parquet file, a folder of them with the splits in the file names, a "
        "data set id on the Hub, or `starter`.",
    ),
]
Split = Annotated[str, typer.Option("--split", help="Split to evaluate on; `val` and `validation` are the same.")]
OutputDir = Annotated[Path, typer.Option("--output_dir", help="Folder for the results.")]
Seed = Annotated[int, typer.Option("--seed", help="Random seed.")]
Synonyms = Annotated[
    Path | None,
    typer.Option(
        "--synonyms",
        exists=True,
        dir_okay=False,
        help="A CSV file without header and with `name,meaning` on each line: synonyms, for a second accuracy.",
    ),
]
LocusColumn = Annotated[
    str | None, typer.Option("--locus_column", help="Column with the locus of a row, such as its gene.")
]
LocusPattern = Annotated[
    str | None,
    typer.Option(
        "--locus_pattern",
        help="Regular expression for the question whose one group is the locus, instead of a column. Known data sets "
        "need neither.",
    ),
]
# Of the commands that read a table, regions or variant calls.
Table = Annotated[
    str | None,
    typer.Option(
        "--dataset_name",
        help="A table with `sequence`, or `reference_sequence` and `variant_sequence`: a file, folder or Hub id.",
    ),
]
Columns = Annotated[
    str | None,
    typer.Option(
        "--columns",
        help="Columns of the table with other names: reference_sequence=ref,variant_sequence=alt,answer=CLNSIG.",
    ),
]
TableQuestion = Annotated[
    str | None,
    typer.Option(
        "--question", help="Question to ask about every row; {GENE} is replaced by the row's value in that column."
    ),
]
TableSplit = Annotated[str, typer.Option("--split", help="Split of the table; a single file has one split, `train`.")]
BED = Annotated[
    Path | None,
    typer.Option(
        "--bed",
        exists=True,
        dir_okay=False,
        help="With --fasta: regions to read as sequences, on the strand in the sixth column.",
    ),
]
VCF = typer.Option("--vcf", exists=True, dir_okay=False, help="VCF file, plain or compressed, or BCF file.")
FASTA = typer.Option(
    "--fasta",
    exists=True,
    dir_okay=False,
    help="Genome (FASTA), plain or compressed by bgzip. `chr1` and `1` are the same contig.",
)
Window = Annotated[
    int | None,
    typer.Option(
        "--window", min=1, help="Maximum number of bases in the windows around a variant. Defaults to 2,048."
    ),
]
# Of the commands that read genotypes of people.
Samples = Annotated[
    Path | None,
    typer.Option(
        "--samples",
        exists=True,
        dir_okay=False,
        help="File with names of people, one per line. By default, all people.",
    ),
]
Unphased = Annotated[
    Literal["reference", "skip"] | None,
    typer.Option(
        "--unphased",
        help="Treatment of unphased heterozygotes: take the reference, or skip the site for all people. By default "
        "they raise an error.",
    ),
]
# Of the commands that keep what a frozen encoder makes of sequences.
CacheDir = Annotated[
    Path | None,
    typer.Option(
        "--cache_dir", help="Folder to store the states of distinct sequences in, which other runs can read."
    ),
]
CacheGB = Annotated[float, typer.Option("--cache_gb", min=0, help="Maximum size of that folder, in GB.")]
OnBadRow = Annotated[
    Literal["raise", "skip"],
    typer.Option("--on_bad_row", help="`raise` stops at bad rows or alleles, `skip` leaves them out."),
]


def split_names(names: str) -> list[str]:
    """The names of a flag that takes several, with commas between."""
    return [name.strip() for name in names.split(",")]


def read_synonyms(path: Path | None) -> dict[str, str] | None:
    """The table of synonyms: a name to what it means."""
    from textgenome.data.tables import read_text, split_csv
    from textgenome.data.texts import is_blank
    from textgenome.inference.answers import normalize_answer

    if path is None:
        return None
    synonyms, meanings = {}, {}
    text = read_text(path)
    try:
        rows = list(split_csv(text))
    except ValueError as error:
        raise typer.BadParameter(f"{path}: {error}") from error
    for number, row in enumerate(rows):
        place = f"{path}, row {number}"
        if len(row) != 2:
            raise typer.BadParameter(f"{place}: expected two columns, `name,meaning`, got {len(row)}.")
        if any(is_blank(name) for name in row):
            raise typer.BadParameter(f"{place}: a name or a meaning is empty.")
        name, meaning = map(normalize_answer, row)
        if meanings.setdefault(name, meaning) != meaning:
            raise typer.BadParameter(f"{place}: {row[0]!r} has another meaning in an earlier row.")
        synonyms[row[0]] = row[1]
    return synonyms
