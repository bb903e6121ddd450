"""`textgenome score`: log-likelihood ratios of variants by a language model of DNA."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from textgenome.commands.console import command
from textgenome.commands.options import FASTA, VCF, Columns, Dtype, OnBadRow, Revision, TableSplit


# Unlike those of other commands: one sequence has no variant to score.
Pairs = Annotated[
    str | None,
    typer.Option(
        "--dataset_name", help="A table with `reference_sequence` and `variant_sequence`: a file, folder or Hub id."
    ),
]


@command()
def score(
    model: Annotated[
        str,
        typer.Option(
            "--model",
            help="Folder or Hub id of a language model of DNA with its head: causal (HyenaDNA, Evo2, Genos) or masked "
            "(Caduceus, Nucleotide Transformer). Can also be the first argument.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", help="New file: a VCF file (.vcf.gz), or a table (.tsv, .csv, .jsonl, .parquet)."),
    ],
    vcf: Annotated[Path | None, VCF] = None,
    fasta: Annotated[Path | None, FASTA] = None,
    dataset_name: Pairs = None,
    split: TableSplit = "train",
    columns: Columns = None,
    window: Annotated[
        int | None,
        typer.Option("--window", min=1, help="Bases around a variant. Defaults to 8192, or to what the model reads."),
    ] = None,
    both_strands: Annotated[
        Literal["none", "average"],
        typer.Option("--both_strands", help="`average` also scores the reverse complement, and takes the mean."),
    ] = "none",
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels",
            help="Known labels to compare with: a key of INFO (CLNSIG), or a column of the table. Prints AUROC and "
            "AUPRC.",
        ),
    ] = None,
    positive: Annotated[
        list[str] | None,
        typer.Option(
            "--positive",
            help="Positive label; can be repeated. Of two labels, the default is the later one in the alphabet.",
        ),
    ] = None,
    negative: Annotated[
        list[str] | None, typer.Option("--negative", help="Negative label; can be repeated. By default, all others.")
    ] = None,
    compare: Annotated[
        list[str] | None,
        typer.Option(
            "--compare",
            help="Another score to compare with, higher for positives: INFO/CADD, or a column of the table.",
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch_size", min=1, help="Batch size.")] = 8,
    on_bad_row: OnBadRow = "raise",
    dtype: Dtype = "auto",
    revision: Revision = "main",
) -> None:
    """Score variants by the log-likelihood ratio of variant to reference, without any training.

    A negative score means that the model finds the reference more likely. A causal model compares the likelihoods of
    both windows, a masked one those of the tokens that the variant changes. Writes the score as TG_LLR, in INFO or as
    a column. Run the same command again to resume an interrupted run; `accelerate launch -m textgenome.commands score
    ...` shares the variants among GPUs.

    With --labels, it also reports whether the scores rank the labels better than chance, than GC content, CpG
    transitions and transversions, and than the scores named by --compare.

    Example: textgenome score --model genos-1.2b --vcf calls.vcf.gz --fasta genome.fa --output scored.vcf.gz

    Example: textgenome score --model hyenadna --dataset_name clinvar.parquet --labels answer --output scores.tsv
    """
    from textgenome.data.forms import TableForm
    from textgenome.inference.variant_scores import check_output, open_scoring

    if compare and labels is None:
        raise typer.BadParameter("--compare needs --labels.")
    check_output(output, vcf)
    scoring = open_scoring(
        model,
        dataset_name=dataset_name,
        split=split,
        form=TableForm.parse(columns),
        vcf=vcf,
        fasta=fasta,
        window=window,
        both_strands=both_strands,
        on_bad_row=on_bad_row,
        dtype=dtype,
        revision=revision,
    )
    # Before hours of scoring: labels that cannot be used are refused.
    known = labels and read_known(list(scoring.rows()), vcf, labels, positive or [], negative or [], compare or [])
    scores = scoring.write(output, batch_size)
    if scores is None:
        return
    typer.echo(f"{len(scores) - scores.count(None)} of {len(scores)} variants are scored in {output}")
    if known:
        print_comparison(scores, *known)


def read_known(rows: list, vcf: Path | None, labels: str, positive: list, negative: list, compare: list) -> tuple:
    """The rows, and what a file says of each: whether it is positive, and other scores."""
    from textgenome.evaluation.variant_scores import read_labels
    from textgenome.inference.variant_scores import read_column, read_numbers

    truths, names = read_labels(read_column(rows, labels, vcf), positive, negative)
    return rows, truths, names, {name: read_numbers(rows, name, vcf) for name in compare}


def print_comparison(scores: list, rows: list, truths: list, names: dict, others: dict) -> None:
    """Print how well scores rank the labels of a file."""
    from textgenome.evaluation.variant_scores import format_scores, judge, measure_scores

    places = [i for i, each in enumerate(zip(scores, truths, *others.values())) if None not in each]
    if not places:
        raise ValueError("No variant has a score, a label, and what it is to be compared with.")
    left_out, others = len(rows) - len(places), {name: [values[i] for i in places] for name, values in others.items()}
    rows, scores, truths = ([each[i] for i in places] for each in (rows, scores, truths))
    summaries = measure_scores(rows, scores, truths, others)
    positives, negatives = (", ".join(names[kind]) for kind in (True, False))
    typer.echo(judge(summaries))
    typer.echo(f"Positive: {positives} ({sum(truths)}). Negative: {negatives} ({len(truths) - sum(truths)}).")
    if left_out:
        typer.echo(f"Left out, for they lack a score or a label: {left_out}.")
    typer.echo(f"\n{format_scores(summaries)}")
