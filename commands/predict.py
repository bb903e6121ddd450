"""`textgenome predict`: predictions of a trained head."""

from pathlib import Path
from typing import Annotated

import typer

from textgenome.commands.console import command
from textgenome.commands.options import (
    BED,
    FASTA,
    VCF,
    BatchSize,
    CacheDir,
    CacheGB,
    Columns,
    Dtype,
    Model,
    OnBadRow,
    Revision,
    Samples,
    Table,
    TableSplit,
    Unphased,
)


Output = Annotated[
    Path,
    typer.Option(
        "--output",
        help="New file: a table (.csv, .tsv, .jsonl, .parquet); a copy of --vcf with INFO (.vcf.gz); tracks (.bw, "
        ".bedgraph); labels of bases (.gff3, .bed, .bedgraph).",
    ),
]
Overlap = Annotated[
    int | None,
    typer.Option(
        "--overlap",
        min=0,
        help="Bases of context on either side of each tile of a genome. Defaults to an eighth of the tile.",
    ),
]
Tracks = Annotated[
    str | None,
    typer.Option("--tracks", help="Tracks to write, NAME,NAME. By default, all."),
]


@command()
def predict(
    model: Model,
    output: Output,
    dataset_name: Table = None,
    split: TableSplit = "train",
    columns: Columns = None,
    fasta: Annotated[Path | None, FASTA] = None,
    bed: BED = None,
    vcf: Annotated[Path | None, VCF] = None,
    samples: Samples = None,
    unphased: Unphased = None,
    cache_dir: CacheDir = None,
    cache_gb: CacheGB = 100,
    on_bad_row: OnBadRow = "raise",
    revision: Revision = "main",
    dtype: Dtype = "auto",
    batch_size: BatchSize = 64,
    overlap: Overlap = None,
    tracks: Tracks = None,
    average_strands: Annotated[
        bool,
        typer.Option("--average_strands", help="Average the predictions of both strands, which takes twice as long."),
    ] = False,
    any_introns: Annotated[
        bool, typer.Option("--any_introns", help="In GFF3 files, allow introns with ends other than GT and AG.")
    ] = False,
    min_exon: Annotated[
        int, typer.Option("--min_exon", min=3, help="In GFF3 files, minimum number of bases of a coding exon.")
    ] = 12,
    species: Annotated[
        str, typer.Option("--species", help="Species of the published tracks of Enformer and Borzoi: human or mouse.")
    ] = "human",
) -> None:
    """Predict with a model that `textgenome dna` trained. Research use only, not for diagnosis.

    For each sequence, or pair of reference and variant, the output has its name and the predicted class with the
    probability of each class, the probability of each of several labels, or the value of a regression. In a VCF file,
    INFO has TG_ANSWER and its probability TG_SCORE, or TG_VALUE. Run the same command again to resume an interrupted
    run. Several GPUs share the rows under `accelerate launch -m textgenome.commands predict ...`.

    A model of expression predicts each of its genes for people, from their phased genotypes in --vcf. It stores states
    of windows in --cache_dir, by default in the folder of the model.

    A model that labels bases writes coding transcripts (.gff3), the stretches of each label (.bed) or probabilities
    (.bedgraph) for --fasta, or for the regions in --bed.

    Example: textgenome predict --model outputs/gue --dataset_name promoters.csv --output answers.csv

    Example: textgenome predict --model outputs/gue --fasta genome.fa --bed regions.bed --output answers.parquet

    A model of tracks writes signals along the genome, or along the regions in --bed: one file for each track, with its
    name before the ending if there are several. Enformer and Borzoi write their published tracks.

    Example: textgenome predict --model outputs/tracks --fasta genome.fa --bed regions.bed --output predicted.bw

    Example: textgenome predict --model outputs/variants --vcf calls.vcf.gz --fasta genome.fa --output answers.vcf.gz

    Example: textgenome predict --model outputs/expression --vcf people.vcf.gz --fasta genome.fa --output people.tsv
    """
    from textgenome.data.forms import TableForm
    from textgenome.data.haplotypes import read_names
    from textgenome.genome.annotating import NOTICE
    from textgenome.inference.predicting import predict as predict_all

    sources = {"dataset_name": dataset_name, "split": split, "fasta": fasta, "bed": bed, "vcf": vcf}
    sources["form"] = TableForm.parse(columns)
    options = {"on_bad_row": on_bad_row, "dtype": dtype, "batch_size": batch_size, "unphased": unphased}
    options |= {"samples": read_names(samples) if samples else None, "cache_dir": cache_dir, "cache_gb": cache_gb}
    options |= {"overlap": overlap, "tracks": tracks and tracks.split(","), "average_strands": average_strands}
    options |= {"any_introns": any_introns, "min_exon": min_exon}
    count = predict_all(model, output, revision, species, **sources, **options)
    if count is not None:
        typer.echo(f"{count} rows in {output}\n{NOTICE}.")
