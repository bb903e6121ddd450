"""`textgenome ask`: ask a model about a pair, a table or a cohort."""

import os
from pathlib import Path
from typing import Annotated

import typer

from textgenome.commands.console import command
from textgenome.commands.options import (
    FASTA,
    VCF,
    BatchSize,
    Columns,
    Dtype,
    EnableThinking,
    MaxNewTokens,
    Model,
    OnBadRow,
    Revision,
    TableSplit,
    Window,
)


WAYS = (
    ("reference", "variant", "question"),
    ("dataset_name", "output_dir"),
    ("vcf", "fasta", "question", "output_dir"),
    ("dataset_name", "question", "output_dir"),
)


Reference = Annotated[
    str | None,
    typer.Option(
        "--reference",
        help="FASTA file or pipe with one sequence, or a sequence (which stays in the history of the shell).",
    ),
]
Variant = Annotated[str | None, typer.Option("--variant", help="The same sequence with the variant, given likewise.")]
Question = Annotated[
    str | None,
    typer.Option(
        "--question",
        help="What to ask; a table may have its own column. {GENE} is replaced by that column or key of INFO.",
    ),
]
Table = Annotated[
    str | None,
    typer.Option(
        "--dataset_name",
        help="A table with question, reference_sequence and variant_sequence: a file, folder or Hub id.",
    ),
]
OutputDir = Annotated[
    Path | None, typer.Option("--output_dir", help="Folder for the answers about a table or VCF file.")
]
Labels = Annotated[
    str | None,
    typer.Option("--labels", help="Answers to score, separated by commas, or a text file with one per line."),
]


@command()
def ask(
    model: Model,
    reference: Reference = None,
    variant: Variant = None,
    question: Question = None,
    dataset_name: Table = None,
    split: TableSplit = "train",
    columns: Columns = None,
    vcf: Annotated[Path | None, VCF] = None,
    fasta: Annotated[Path | None, FASTA] = None,
    window: Window = None,
    output_dir: OutputDir = None,
    labels: Labels = None,
    on_bad_row: OnBadRow = "raise",
    revision: Revision = "main",
    dtype: Dtype = "auto",
    batch_size: BatchSize = 64,
    enable_thinking: EnableThinking = None,
    max_new_tokens: MaxNewTokens = 1024,
) -> None:
    """Ask a model about one pair, a table, or each ALT allele of a VCF file. Research use only, not for diagnosis.

    The answer about a pair is printed and not stored. For a table or a VCF file, the folder gets answers.jsonl
    (variant or row number, reasoning, answer, and the probabilities of the labels with and without DNA) and, for a VCF
    file, answers.vcf.gz (TG_ANSWER, TG_SCORE and TG_SCORE_NO_DNA in INFO). Run the same command again to resume an
    interrupted run.

    Example: textgenome ask --model outputs/starter --reference reference.fa --variant variant.fa --question "Which
    signal does this variant break?"

    Example: textgenome ask --model outputs/starter --vcf variants.vcf.gz --fasta genome.fa --question "Which signal
    does this variant break?" --output_dir outputs/answers
    """
    from textgenome.data.forms import TableForm
    from textgenome.inference import asking
    from textgenome.processing.processing_dna import DNA_WINDOW

    thinking = {"enable_thinking": enable_thinking, "max_new_tokens": max_new_tokens}
    options = {"labels": read_labels(labels), "dtype": dtype, "batch_size": batch_size, **thinking}
    sources = {
        "reference": reference,
        "variant": variant,
        "question": question,
        "dataset_name": dataset_name,
        "vcf": vcf,
        "fasta": fasta,
        "output_dir": output_dir,
    }
    check_sources({name for name, value in sources.items() if value is not None})
    if reference is not None:
        ask_pair(model, revision, reference, variant, question, **options)
        return
    options |= {"revision": revision, "on_bad_row": on_bad_row}
    if vcf is not None:
        answers = asking.ask_vcf(model, vcf, fasta, question, output_dir, window or DNA_WINDOW, **options)
    else:
        form = TableForm.parse(columns, question)
        answers = asking.ask_table(model, dataset_name, output_dir, split, form=form, **options)
    if answers is not None:
        typer.echo(f"{len(answers)} answers in {output_dir / 'answers.jsonl'}\n{asking.NOTICE}.")


def ask_pair(model: str, revision: str, reference: str, variant: str, question: str, dtype: str, **options) -> None:
    """Print what a model says about one pair."""
    from textgenome.data.conversations import DNA_COLUMNS
    from textgenome.inference import asking
    from textgenome.inference.predictions import join_processes

    pair = (sequence_of("--reference", reference), sequence_of("--variant", variant))
    row = {"question": question, **dict(zip(DNA_COLUMNS, pair))}
    checkpoint = asking.open_fused(model, revision)
    loaded = checkpoint.load(dtype).to(join_processes().device)
    print_answer(asking.ask_model(loaded, checkpoint.processor, [row], **options)[0])
    typer.echo(f"{asking.NOTICE}.")


def check_sources(given: set[str]) -> None:
    """Check that the options fit one of `WAYS` to ask."""
    if given not in map(set, WAYS):
        ways = "; or ".join(" ".join(f"--{name}" for name in way) for way in WAYS)
        raise typer.BadParameter(f"Give {ways}.")


def read_labels(labels: str | None) -> list[str] | None:
    """The labels in a text, or in the file of that name."""
    from textgenome.data.tables import read_text
    from textgenome.data.texts import is_blank

    if labels is None:
        return None
    # Unlike Path, also of a text that is too long for a name. A pipe is read, too.
    is_file = os.path.exists(labels) and not os.path.isdir(labels)
    names = read_text(labels).split("\n") if is_file else labels.split(",")
    names = list(dict.fromkeys(name.strip() for name in names if not is_blank(name)))
    if len(names) < 2:
        raise typer.BadParameter(f"--labels: it takes two to choose from, got {len(names)}.")
    return names


def sequence_of(option: str, source: str) -> str:
    """The sequence that an option gives, or that of the FASTA file it names."""
    from textgenome.data.variants import read_sequence

    try:
        return read_sequence(source)
    except ValueError as error:
        raise typer.BadParameter(f"{option}: {error}") from error


def print_answer(answer: dict) -> None:
    from textgenome.genome.intervals import printable

    typer.echo(printable(f"Reasoning: {answer['reasoning'] or 'none'}\nAnswer: {answer['answer'] or 'none'}"))
    for label, score in sorted(answer.get("scores", {}).items(), key=lambda item: -item[1]):
        prior = answer["scores_without_dna"][label]
        typer.echo(f"{score:.3f}  (without DNA {prior:.3f})  {printable(label)}")
