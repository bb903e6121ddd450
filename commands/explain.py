"""`textgenome explain`: the bases that a prediction depends on."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from textgenome.commands.ask import Labels, Reference, Variant, read_labels, sequence_of
from textgenome.commands.console import command
from textgenome.commands.options import BatchSize, Dtype, EnableThinking, MaxNewTokens, Model, Revision


@command()
def explain(
    model: Model,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            help="New file: a picture (.png, .svg, .pdf), a page (.html), or a table (.parquet, .tsv, .csv).",
        ),
    ],
    reference: Reference = None,
    variant: Variant = None,
    question: Annotated[str | None, typer.Option("--question", help="Question for a model that writes text.")] = None,
    labels: Labels = None,
    bases: Annotated[
        int,
        typer.Option("--bases", min=1, help="Maximum number of bases to change, around the variant or in the middle."),
    ] = 100,
    along: Annotated[
        Literal["reference", "variant"],
        typer.Option("--along", help="Sequence whose variant bases to change. Elsewhere both sequences change alike."),
    ] = "reference",
    position: Annotated[
        int | None,
        typer.Option(
            "--position", min=1, help="Base whose labels to explain, counted from 1; for models that label bases."
        ),
    ] = None,
    show: Annotated[
        str | None,
        typer.Option("--show", help="Label, class or track to draw. Defaults to the one with the highest score."),
    ] = None,
    revision: Revision = "main",
    dtype: Dtype = "auto",
    batch_size: BatchSize = 64,
    enable_thinking: EnableThinking = None,
    max_new_tokens: MaxNewTokens = 1024,
) -> None:
    """Change each base to every other, and draw how the prediction changes. Research use only, not for diagnosis.

    Works for models that write text (with --question, optionally --labels), classify, predict values, label bases or
    predict tracks, and for language models of DNA. The output contains the bases that were changed.

    Example: textgenome explain outputs/starter --reference reference.fa --variant variant.fa --question "Which signal
    does this variant break?" --output explain.png

    Example: textgenome explain LongSafari/hyenadna-tiny-1k-seqlen-hf --reference sequence.fa --output explain.html
    """
    from textgenome.genome.annotating import NOTICE
    from textgenome.inference.explaining import explain_checkpoint
    from textgenome.inference.explanation_files import check_output, describe, write_explanation

    if reference is None:
        raise typer.BadParameter("Give --reference.")
    check_output(output)
    explanation = explain_checkpoint(
        model,
        revision,
        dtype,
        reference=sequence_of("--reference", reference),
        variant=variant and sequence_of("--variant", variant),
        question=question,
        labels=read_labels(labels),
        bases=bases,
        along=along,
        position=position and position - 1,
        batch_size=batch_size,
        enable_thinking=enable_thinking,
        max_new_tokens=max_new_tokens,
    )
    if show is not None and show not in explanation.outputs:
        raise typer.BadParameter(f"--show {show}: choose from {', '.join(explanation.outputs)}.")
    write_explanation(explanation, output, show)
    typer.echo(f"{describe(explanation, show)}\n{output}\n{NOTICE}.")
