"""`textgenome build WHAT`: make tables and files to train on from genome files."""

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from textgenome.commands.console import Command, app
from textgenome.commands.options import FASTA, VCF, Samples, Seed, Unphased


build = typer.Typer(
    help="Make tables and files to train on from genome files.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(build, name="build")
command = partial(build.command, cls=Command)

Table = Annotated[Path, typer.Option("--output", help="New table: .tsv, .csv, .jsonl or .parquet.")]


@command()
def hotspots(
    vcf: Annotated[Path, VCF],
    output: Table,
    fasta: Annotated[Path | None, FASTA] = None,
    tile: Annotated[int, typer.Option("--tile", min=1, help="Bases of a tile.")] = 8192,
    fdr: Annotated[
        float, typer.Option("--fdr", min=0, max=1, help="Share of false hotspots among those that are named.")
    ] = 0.05,
) -> None:
    """Cut contigs into tiles, and find those with more variants than their contig's mean explains.

    A row for each tile between the first and the last one with a variant: contig, start, end, variants, expected,
    p_value (Poisson, upper tail), q_value (Benjamini-Hochberg over all tiles), label (hotspot or background). A
    position counts once, however many alleles it has. With --fasta the rows also have the sequence, so that
    `textgenome dna --task classification` can learn them; tiles of N alone are left out.

    Example: textgenome build hotspots --vcf calls.vcf.gz --fasta genome.fa --tile 8192 --output hotspots.parquet
    """
    from collections import Counter

    from textgenome.data.files import refuse_unknown_table, write_table
    from textgenome.data.hotspots import find_hotspots

    refuse_unknown_table(output)
    rows = find_hotspots(vcf, tile, fdr, fasta)
    write_table(rows, output)
    labels = Counter(row["label"] for row in rows)
    typer.echo(f"{len(rows)} tiles in {output}: {labels['hotspot']} hotspots at a false discovery rate of {fdr:g}")


@command()
def coding(
    fasta: Annotated[Path, FASTA],
    gtf: Annotated[Path, typer.Option("--gtf", exists=True, dir_okay=False, help="Annotation: GTF or GFF3.")],
    output: Table,
    max_codons: Annotated[
        int | None,
        typer.Option("--max_codons", min=6, help="Cut into pieces of 6 to so many codons. By default whole."),
    ] = None,
    copies: Annotated[int, typer.Option("--copies", min=1, help="Cut so many times, at other places.")] = 1,
    validation: Annotated[
        Path | None, typer.Option("--validation", help="New table for the rows of one gene of ten, to evaluate on.")
    ] = None,
    frame: Annotated[
        Literal["known", "unknown"],
        typer.Option("--frame", help="`known` starts with a codon; `unknown` up to two bases before one."),
    ] = "known",
    seed: Seed = 0,
) -> None:
    """Write coding sequences with the question which protein they encode, and the answer.

    Of each gene the transcript with most coding bases is taken. A row has question, sequence, answer (the protein, in
    letters with spaces between, by the standard code) and gene.

    Example: textgenome build coding --fasta genome.fa --gtf genes.gtf --max_codons 16 --output cds/train.jsonl
    --validation cds/validation.jsonl
    """
    from textgenome.data.coding import coding_rows, hold_out_genes
    from textgenome.data.files import refuse_unknown_table, write_table

    tables = [output, *([validation] if validation else [])]
    for path in tables:
        refuse_unknown_table(path)
    rows, counts = coding_rows(fasta, gtf, max_codons, copies, frame, seed)
    for path, part in zip(tables, hold_out_genes(rows, seed) if validation else [rows]):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(part, path)
        typer.echo(f"{len(part)} rows in {path}")
    for reason, count in counts.items():
        typer.echo(f"{reason}: {count}")


@command(name="starter_genome")
def starter_genome(
    output_dir: Annotated[Path, typer.Option("--output_dir", help="Folder for the files.")],
    seed: Annotated[int, typer.Option("--seed", help="Seed of all that is random.")] = 0,
) -> None:
    """Write a small genome with planted rules, to try training on: 8 contigs of 50,000 bases.

    genome.fa; genes.gtf and genes.bed; tracks.tsv with bigWig files; train.bed and valid.bed, regions on different
    contigs; people.vcf.gz, 60 phased people; expression.bed.gz and covariates.tsv. It takes seconds, and the same seed
    gives the same files. Training, docs and tests use it.

    Example: textgenome build starter_genome --output_dir outputs/genome
    """
    from textgenome.data.starter_genome import write_starter_genome

    folder = write_starter_genome(output_dir, seed)
    typer.echo(f"{len([*folder.rglob('*.*')])} files in {folder}")


@command()
def haplotypes(
    vcf: Annotated[Path, VCF],
    fasta: Annotated[Path, FASTA],
    regions: Annotated[Path, typer.Option("--regions", exists=True, dir_okay=False, help="Places: a BED file.")],
    output: Annotated[Path, typer.Option("--output", help="New FASTA file, compressed by bgzip if it ends with .gz.")],
    samples: Samples = None,
    indels: Annotated[
        bool, typer.Option("--indels", help="Apply insertions and deletions, too; by default only SNVs are.")
    ] = False,
    unphased: Unphased = None,
) -> None:
    """Write the two sequences that each person has at each place, of phased genotypes and the genome.

    The records are called `region|person|1` and `region|person|2`; regions on the minus strand are
    reverse-complemented. The sequences are those of `bcftools consensus`.

    Example: textgenome build haplotypes --vcf calls.vcf.gz --fasta genome.fa --regions genes.bed --output people.fa
    """
    from textgenome.data.haplotypes import read_names, write_haplotypes

    names = read_names(samples) if samples else None
    counts = write_haplotypes(vcf, fasta, regions, output, names, indels, unphased)
    records, distinct = counts.pop("records"), counts.pop("distinct")
    typer.echo(f"{records} sequences in {output}, {distinct} of them distinct at their places")
    for kind, count in counts.items():
        if count:
            typer.echo(f"{kind}: {count}")


@command()
def population(
    vcf: Annotated[Path, VCF],
    fasta: Annotated[Path, FASTA],
    samples_with_labels: Annotated[
        Path,
        typer.Option(
            "--samples_with_labels",
            "--samples-with-labels",
            exists=True,
            dir_okay=False,
            help="Table with the columns sample and label, such as the population that each person is of.",
        ),
    ],
    output_dir: Annotated[Path, typer.Option("--output_dir", help="New folder for train, validation and test.")],
    window: Annotated[int, typer.Option("--window", min=1, help="Bases of a window, from the first site on.")] = 8192,
    regions: Annotated[
        Path | None,
        typer.Option("--regions", exists=True, dir_okay=False, help="Windows to take instead: a BED file."),
    ] = None,
    unphased: Unphased = None,
    seed: Seed = 0,
) -> None:
    """Write windows of the two haplotypes of people, with their label, for `textgenome dna --task classification`.

    People are split 8:1:1 within each label, all windows of a person in one split. People repeat: it is counted how
    many rows have a sequence that people of several labels have, which no model can tell apart.

    Example: textgenome build population --vcf calls.vcf.gz --fasta genome.fa --samples_with_labels people.tsv
    --output_dir rows
    """
    from textgenome.data.population import read_sample_labels, write_population

    labels = read_sample_labels(samples_with_labels)
    counts = write_population(vcf, fasta, labels, output_dir, window, regions, unphased, seed)
    for kind, count in counts.items():
        typer.echo(f"{kind}: {count}")
