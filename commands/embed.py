"""`textgenome embed`: what a DNA encoder makes of sequences."""

import re
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from textgenome.commands.console import command
from textgenome.commands.options import (
    BED,
    FASTA,
    VCF,
    CacheDir,
    CacheGB,
    Columns,
    Dtype,
    OnBadRow,
    Revision,
    Table,
    TableSplit,
    Unphased,
)


Encoder = Annotated[
    str,
    typer.Option(
        "--model",
        help="Folder or Hub id: a pretrained DNA encoder, or a model of textgenome, whose DNA encoder is used. The "
        "first argument means the same.",
    ),
]
Output = Annotated[
    Path, typer.Option("--output", help="New file (.parquet), or new folder for safetensors files and rows.parquet.")
]
Pooling = Annotated[
    Literal["mean", "max", "min", "last", "none"],
    typer.Option(
        "--pooling",
        help="`mean` over bases, `max` or `min` of each channel, `last`: the state of the last base; `none` keeps all "
        "states, with the number of bases that each covers.",
    ),
]
Layer = Annotated[
    int | None,
    typer.Option(
        "--dna_feature_layer",
        help="Which hidden state: 0 is the embedding, -1 the last one. By default that of the model.",
    ),
]
Module = Annotated[
    str | None, typer.Option("--dna_feature_module", help="Or the output of a module of this name in the encoder.")
]
Strands = Annotated[
    Literal["none", "average", "concat"] | None,
    typer.Option(
        "--both_strands",
        help="Encode the reverse complement, too: `average` both, or put them beside each other by `concat`. By "
        "default as in the model.",
    ),
]
Tile = Annotated[
    int | None,
    typer.Option(
        "--tile",
        min=1,
        help="Most bases that are encoded in one piece, by default what the encoder reads. Longer sequences are cut "
        "into tiles, which are pooled together.",
    ),
]
BatchBases = Annotated[
    int,
    typer.Option("--batch_bases", min=1, help="Bases at a time, padding included. Lower it if memory runs out."),
]
Shard = Annotated[
    str, typer.Option("--shard", help="`2/8`: embed the second of eight shares, as a job of its own on a cluster.")
]


Window = Annotated[
    int | None,
    typer.Option(
        "--window",
        min=1,
        help="Most bases of the windows around a variant, 2,048 or fewer; bases around the start of a gene, 16,384.",
    ),
]
Expression = Annotated[
    Path | None,
    typer.Option(
        "--expression",
        exists=True,
        dir_okay=False,
        help="With --vcf and --fasta: encode the haplotypes of people around the starts of these genes, for the task "
        "expression of `textgenome dna`, which reads the folder --output by --dna_cache_dir.",
    ),
]
StateBin = Annotated[
    int | None, typer.Option("--state_bin", min=1, help="With --expression: average states over so many bases.")
]
Indels = Annotated[
    bool, typer.Option("--indels", help="With --expression: apply insertions and deletions, too, not SNVs alone.")
]


@command()
def embed(
    model: Encoder,
    output: Output,
    fasta: Annotated[Path | None, FASTA] = None,
    bed: BED = None,
    vcf: Annotated[Path | None, VCF] = None,
    dataset_name: Table = None,
    split: TableSplit = "train",
    columns: Columns = None,
    pooling: Pooling = "mean",
    dna_feature_layer: Layer = None,
    dna_feature_module: Module = None,
    both_strands: Strands = None,
    window: Window = None,
    tile: Tile = None,
    batch_bases: BatchBases = 65_536,
    shard: Shard = "1/1",
    cache_dir: CacheDir = None,
    cache_gb: CacheGB = 100,
    expression: Expression = None,
    state_bin: StateBin = None,
    indels: Indels = False,
    unphased: Unphased = None,
    on_bad_row: OnBadRow = "raise",
    revision: Revision = "main",
    dtype: Dtype = "auto",
) -> None:
    """Embed DNA by any encoder: the records of a FASTA file, regions of a genome, variants, or the rows of a table.

    Each sequence gets a vector in the column `embedding`, after its number, name and place; a variant gets one for
    each `allele`. The same command goes on with a run that was stopped, by Ctrl + C, too. Several GPUs share the work
    under `accelerate launch -m textgenome.commands embed ...`, jobs on a cluster by --shard.

    With --expression nothing is pooled: the states of each distinct window that people have are written once.

    Example: textgenome embed LongSafari/hyenadna-tiny-1k-seqlen-hf --fasta sequences.fa --output embeddings.parquet

    Example: textgenome embed outputs/starter --bed promoters.bed --fasta genome.fa --pooling max --output promoters

    Example: textgenome embed outputs/starter --vcf variants.vcf.gz --fasta genome.fa --window 512 --output v.parquet

    Example: textgenome embed outputs/starter --expression e.bed.gz --vcf people.vcf.gz --fasta genome.fa --window 1024
    --output states
    """
    from textgenome.data.forms import TableForm

    features = {"dna_feature_layer": dna_feature_layer, "dna_feature_module": dna_feature_module}
    sources = {"fasta": fasta, "bed": bed, "vcf": vcf, "dataset_name": dataset_name, "split": split}
    options = {"features": {**features, "both_strands": both_strands}, "window": window, "batch_bases": batch_bases}
    options |= {"shard": read_shard(shard), "cache_gb": cache_gb, "revision": revision, "dtype": dtype}
    if expression is None:
        options |= {"pooling": pooling, "tile": tile, "cache_dir": cache_dir, "on_bad_row": on_bad_row}
        sources["form"] = TableForm.parse(columns)
        embed_sequences(model, output, **sources, **options)
    else:
        options |= {"state_bin": state_bin, "indels": indels, "unphased": unphased}
        embed_genes(model, output, expression, sources, **options)


def embed_sequences(model: str, output: Path, **options) -> None:
    from textgenome.inference.embedding_runs import embed_file

    try:
        place, number = embed_file(model, output, **options)
    except KeyboardInterrupt as error:
        print("Stopped. The same command goes on from here.", file=sys.stderr)
        raise SystemExit(130) from error
    typer.echo(f"{number} sequences in {place}")


def embed_genes(model: str, output: Path, expression: Path, sources: dict, window: int | None, **options) -> None:
    from textgenome.inference.embedding_people import embed_people

    vcf, fasta = sources["vcf"], sources["fasta"]
    if None in (vcf, fasta) or sources["bed"] or sources["dataset_name"]:
        raise typer.BadParameter("--expression needs --vcf and --fasta, and neither --bed nor --dataset_name.")
    counts = embed_people(model, output, expression, vcf, fasta, window or 16_384, **options)
    typer.echo(f"{counts[0]} distinct windows, {counts[1]} distinct inputs of the encoder encoded now, in {output}")


def read_shard(shard: str) -> tuple[int, int]:
    """The share and the number of shares in `2/8`."""
    found = re.fullmatch(r"([0-9]+)/([0-9]+)", shard)
    if not found:
        raise typer.BadParameter(f"--shard {shard}: give a share and the number of shares, such as 2/8.")
    return int(found[1]), int(found[2])
