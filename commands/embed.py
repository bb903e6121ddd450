"""`textgenome embed`: embeddings of sequences by a DNA encoder."""

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
        help="Folder or Hub id of a pretrained DNA encoder, or of a textgenome model, whose encoder is used. Can also "
        "be the first argument.",
    ),
]
Output = Annotated[
    Path, typer.Option("--output", help="New file (.parquet), or new folder for safetensors files and rows.parquet.")
]
Pooling = Annotated[
    Literal["mean", "max", "min", "last", "none"],
    typer.Option(
        "--pooling",
        help="`mean` over bases, `max` or `min` of each channel, or the `last` state; `none` keeps all states, "
        "with the number of bases that each covers.",
    ),
]
Layer = Annotated[
    int | None,
    typer.Option(
        "--dna_feature_layer",
        help="Hidden state to use: 0 is the embedding, -1 the last one. Defaults to the model's.",
    ),
]
Module = Annotated[
    str | None,
    typer.Option("--dna_feature_module", help="Module of the encoder whose output to use instead of a hidden state."),
]
Strands = Annotated[
    Literal["none", "average", "concat"] | None,
    typer.Option(
        "--both_strands",
        help="Also encode the reverse complement, and `average` or `concat` both strands. Defaults to the model's "
        "setting.",
    ),
]
Tile = Annotated[
    int | None,
    typer.Option(
        "--tile",
        min=1,
        help="Maximum number of bases to encode at once. Defaults to what the encoder reads. Longer sequences are cut "
        "into tiles, which are pooled together.",
    ),
]
BatchBases = Annotated[
    int,
    typer.Option("--batch_bases", min=1, help="Bases per batch, padding included. Lower it if memory runs out."),
]
Shard = Annotated[
    str, typer.Option("--shard", help="`2/8` embeds the second of eight shares, for separate jobs on a cluster.")
]


Window = Annotated[
    int | None,
    typer.Option(
        "--window",
        min=1,
        help="Maximum number of bases in the windows around a variant (default 2,048, or what the encoder reads), or "
        "around the start of a gene (default 16,384).",
    ),
]
Expression = Annotated[
    Path | None,
    typer.Option(
        "--expression",
        exists=True,
        dir_okay=False,
        help="With --vcf and --fasta: encode people's haplotypes around the starts of these genes, for the task "
        "expression of `textgenome dna`, which reads the folder --output as its --dna_cache_dir.",
    ),
]
StateBin = Annotated[
    int | None, typer.Option("--state_bin", min=1, help="With --expression: average states over this many bases.")
]
Indels = Annotated[
    bool, typer.Option("--indels", help="With --expression: also apply insertions and deletions, not only SNVs.")
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
    """Embed DNA with any encoder: the records of a FASTA file, regions of a genome, variants, or the rows of a table.

    Writes a vector for each sequence in the column `embedding`, with its number, name and place; a variant gets one
    for each `allele`. Run the same command again to resume an interrupted run. To share the work, use several GPUs
    under `accelerate launch -m textgenome.commands embed ...`, or jobs on a cluster by --shard.

    With --expression, the states of each distinct window are written once, and nothing is pooled.

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
        print("Stopped. Run the same command again to resume.", file=sys.stderr)
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
