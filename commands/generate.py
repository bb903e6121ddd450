"""`textgenome generate`: continue DNA sequences by a language model of DNA."""

from pathlib import Path
from typing import Annotated

import typer

from textgenome.commands.console import command
from textgenome.commands.options import Dtype, Revision, Seed


@command()
def generate(
    model: Annotated[
        str,
        typer.Option(
            "--model",
            help="Folder or Hub id of a causal language model of DNA (HyenaDNA, Evo2, Genos). Can also be the first "
            "argument.",
        ),
    ],
    prompt: Annotated[
        Path, typer.Option("--prompt", exists=True, dir_okay=False, help="FASTA file with the sequences to continue.")
    ],
    output: Annotated[
        Path, typer.Option("--output", help="New FASTA file for the generated bases, without the prompts.")
    ],
    length: Annotated[int, typer.Option("--length", min=1, help="Number of bases to generate.")] = 200,
    num: Annotated[int, typer.Option("--num", min=1, help="Number of sequences per prompt.")] = 1,
    temperature: Annotated[
        float, typer.Option("--temperature", min=0, help="Sampling temperature; 0 takes the most likely base.")
    ] = 1.0,
    seed: Seed = 0,
    compare_to: Annotated[
        Path | None,
        typer.Option(
            "--compare_to",
            exists=True,
            dir_okay=False,
            help="FASTA file, such as the genome of the prompts, to compare the generated sequences with.",
        ),
    ] = None,
    markov_order: Annotated[int, typer.Option("--markov_order", min=0, max=11, help="Order of the Markov model.")] = 5,
    batch_size: Annotated[int, typer.Option("--batch_size", min=1, help="Batch size.")] = 8,
    dtype: Dtype = "auto",
    revision: Revision = "main",
) -> None:
    """Continue DNA sequences by a causal model, one base at a time; it never writes N.

    The headers of the FASTA file give the bits per base that the model assigns to its sequence: 2 is a random guess,
    and a much lower value is often a repeat. The same prompts and seed give the same bases for any batch size. Run the
    same command again to resume an interrupted run.

    Prints the bits per base of the model and of a Markov model, which is fitted on --compare_to or, without it, on the
    prompts. With --compare_to, it also prints the identity to the nearest 48 bases there: 1 is a copy, 0.6 is what
    random DNA has.

    Example: textgenome generate --model genos-1.2b --prompt x.fa --length 200 --num 5 --temperature 0.8 --output y.fa
    """
    import math

    from textgenome.inference.generated_fasta import open_prompts, write_generated
    from textgenome.inference.language_models import load_language_model
    from textgenome.inference.next_bases import measure_next_bases

    if output.exists():
        raise typer.BadParameter(f"{output} is there already: name another file.")
    language_model = load_language_model(model, revision, dtype)
    prompts = open_prompts(language_model, prompt, length)
    options = {"length": length, "temperature": temperature, "seed": seed, "batch_size": batch_size}
    found = write_generated(language_model, prompts, output, num, **options)
    if found is None:
        return
    typer.echo(f"{len(found)} sequences in {output}")
    if any(len(each) > 1 for each in prompts.values()):
        loss, accuracy = measure_next_bases(language_model, [each for each in prompts.values() if len(each) > 1])
        typer.echo(f"Next bases of the prompts: {loss / math.log(2):.3f} bits a base, {accuracy:.1%} right")
    print_comparison(found, list(prompts.values()), compare_to, markov_order)


def print_comparison(found: list, prompts: list[str], compare_to: Path | None, order: int) -> None:
    """Print how likely and how new the generated sequences are."""
    import numpy as np

    from textgenome.data.sequences import read_sequences
    from textgenome.evaluation.generated import K, MarkovModel, nearest_identity

    def known() -> list:
        return [row.sequence for row in read_sequences(fasta=compare_to)] if compare_to else prompts

    sequences = [one.bases for one in found]
    markov = MarkovModel(order).fit(known())
    bits = markov.bits_per_base([prompts[one.prompt] for one in found], sequences)
    fitted = compare_to or "the prompts"
    typer.echo(f"Bits a base of what was written: {np.mean([one.bits_per_base for one in found]):.3f} by the model")
    if np.isfinite(bits).any():
        typer.echo(f"{'':<33}{np.nanmean(bits):.3f} by a Markov model of order {order}, fitted on {fitted}")
    if compare_to:
        identities = nearest_identity(sequences, known())
        if np.isnan(identities).all():
            typer.echo(f"Nearest {K} bases in {compare_to}: the sequences are shorter than that")
        else:
            copies, mean = int((identities == 1).sum()), np.nanmean(identities)
            typer.echo(
                f"Nearest {K} bases in {compare_to}: identity {mean:.3f} on average, {np.nanmax(identities):.3f} at "
                f"most; {copies} of {len(found)} sequences hold {K} bases in a row of it"
            )
