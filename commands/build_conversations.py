"""`textgenome build conversations`: rows that a head on DNA would learn, as questions and answers."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from textgenome.commands.build import command
from textgenome.commands.options import FASTA, Columns, OnBadRow, Seed, Table, TableQuestion, split_names


Task = Annotated[
    Literal["classification", "regression", "annotation"],
    typer.Option(
        "--task", help="Classes or labels of a table, its values, or labels of the bases of a genome as intervals."
    ),
]
GTF = Annotated[str | None, typer.Option("--gtf", help="Annotation: GTF, GFF3 or BED files, with commas between.")]
Labels = Annotated[str | None, typer.Option("--labels", help="Types of features to ask for, as CDS,exon.")]
Bases = Annotated[int, typer.Option("--window", min=1, help="Bases of a window of the genome.")]
TestContigs = Annotated[
    str | None,
    typer.Option("--test_contigs", help="Contigs of the split validation, NAME,NAME; by default one block of ten."),
]
Stranded = Annotated[
    bool,
    typer.Option("--stranded/--unstranded", help="Read both strands, each with its features; or one, with all."),
]
Digits = Annotated[int, typer.Option("--digits", min=0, max=9, help="Decimals of a value.")]
Job = Annotated[str | None, typer.Option("--job", help="Name in the column `job`; by default that of the task.")]


@command()
def conversations(
    task: Task,
    output_dir: Annotated[Path, typer.Option("--output_dir", help="New folder for the splits (.jsonl).")],
    dataset_name: Table = None,
    columns: Columns = None,
    question: TableQuestion = None,
    digits: Digits = 2,
    on_bad_row: OnBadRow = "raise",
    fasta: Annotated[Path | None, FASTA] = None,
    gtf: GTF = None,
    labels: Labels = None,
    window: Bases = 64,
    test_contigs: TestContigs = None,
    stranded: Stranded = True,
    job: Job = None,
    seed: Seed = 0,
) -> None:
    """Write what a head on DNA would learn as questions and answers, so that one model answers many jobs by text.

    A row has question, answer, answer_type and job beside its DNA; docs/mixtures.md says how answers look and are
    scored.

    Example: textgenome build conversations --task classification --dataset_name promoters --output_dir rows/promoters

    Example: textgenome build conversations --task regression --dataset_name activity.csv --columns answer=log2
    --digits 1 --output_dir rows/activity

    Example: textgenome build conversations --task annotation --fasta genome.fa --gtf genes.gtf --labels CDS,exon
    --output_dir rows/genes
    """
    from textgenome.data import label_conversations as builders
    from textgenome.data.files import write_rows, written_whole

    refuse_missing(task, dataset_name, {"--fasta": fasta, "--gtf": gtf, "--labels": labels})
    counts = {}
    if task == "annotation":
        held_out = split_names(test_contigs) if test_contigs else ()
        sources = fasta, split_names(gtf), split_names(labels)
        splits, counts = builders.bases_as_answers(*sources, window, held_out, stranded, seed)
    elif task == "regression":
        splits = builders.values_as_answers(dataset_name, digits, question, columns, on_bad_row)
    else:
        splits = builders.classes_as_answers(dataset_name, question, columns, on_bad_row)
    with written_whole(output_dir) as folder:
        for split, rows in splits.items():
            number = write_rows(builders.name_job(rows, job or task), folder / f"{split}.jsonl")
            typer.echo(f"{split}: {number} rows")
    for kind, count in counts.items():
        typer.echo(f"{kind}: {count}")


def refuse_missing(task: str, dataset_name: str | None, genome: dict) -> None:
    """Refuse flags that do not say where the rows come from."""
    if task != "annotation":
        if dataset_name is None:
            raise typer.BadParameter(f"The task {task} needs a table.", param_hint="--dataset_name")
        return
    missing = [name for name, value in genome.items() if value is None]
    if missing:
        raise typer.BadParameter("The task annotation needs a genome and its labels.", param_hint=", ".join(missing))
