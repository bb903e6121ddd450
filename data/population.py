"""Windows of the two haplotypes of people, with what each person is labelled, in splits that share no person."""

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas

from textgenome.data.files import refuse_existing, written_whole
from textgenome.data.haplotypes import HaplotypeReader
from textgenome.data.splits import PARTS, split_at_random
from textgenome.data.tables import read_table
from textgenome.genome.bed import read_bed
from textgenome.genome.genotypes import Genotypes, read_genotypes
from textgenome.genome.intervals import Interval, printable
from textgenome.genome.progress import Progress
from textgenome.genome.vcf import open_vcf


COLUMNS = ("sample", "label")
FEWEST_PEOPLE = 20


def read_sample_labels(path: str | Path) -> dict[str, str]:
    """The label of each person, of a table with the columns `sample` and `label`; other columns are not read.

    Raises:
        ValueError: If the file is not such a table, a name or label is empty, or a person is there twice.
    """
    labels = {}
    for number, row in enumerate(read_table(Path(path))):
        place = f"{path}, row {number}"
        if not isinstance(row, Mapping):
            raise ValueError(f"{place}: {row}")
        missing = [column for column in COLUMNS if column not in row]
        if missing:
            raise ValueError(f"{place}: there is no column {missing[0]!r}, only {', '.join(map(str, row))}.")
        name, label = (str(row[column] if row[column] is not None else "").strip() for column in COLUMNS)
        if not name or not label:
            raise ValueError(f"{place}: the sample or its label is empty.")
        if name in labels:
            raise ValueError(f"{place}: the sample {printable(name)} is there already.")
        labels[name] = label
    return labels


def write_population(
    vcf: str | Path,
    fasta: str | Path,
    labels: Mapping[str, str],
    output_dir: str | Path,
    window: int = 8192,
    regions: str | Path | None = None,
    unphased: str | None = None,
    seed: int = 0,
) -> dict:
    """Write a row for each window of each haplotype of each person, as `train`, `validation` and `test` (Parquet).

    People are dealt 8:1:1 within each label, and all rows of a person are in one split. Substitutions of one base are
    applied to the reference; insertions and deletions are not, so that windows line up.

    Args:
        vcf: Phased genotypes, see `read_genotypes`.
        fasta: The genome.
        labels: By the name of the person. Those who are not in the VCF file are left out, and so are those of the VCF
            file without a label.
        output_dir: New folder.
        window: Bases of a window. They follow each other from the first site of a contig to the last one.
        regions: Take in place of these the regions of a BED file as windows.
        unphased: See `read_genotypes`.
        seed: Of the splits.

    Returns:
        Counts: `people`, `people without label`, `labelled people without genotypes`, `windows`, the rows of each
        split, `distinct sequences`, and `rows with a sequence of several labels`, which no model can tell apart; and
        the counts of `Genotypes` and `HaplotypeReader`.

    Raises:
        FileExistsError: If there is something in the folder.
        ValueError: If fewer than 20 people have both, or a label has too few people to be in every split.
    """
    refuse_existing(Path(output_dir))
    with open_vcf(vcf) as records:
        known = [name for name in records.samples if name in labels]
        counts = {"people": len(known), "people without label": len(records.samples) - len(known)}
    counts["labelled people without genotypes"] = len(labels) - len(known)
    if len(known) < FEWEST_PEOPLE:
        raise ValueError(
            f"{vcf}: {len(known)} of its people have a label ({counts['people without label']} have none, and "
            f"{counts['labelled people without genotypes']} with one are not in it). At least {FEWEST_PEOPLE} are "
            "needed."
        )
    split_of = _deal(known, labels, seed)
    asked = [region.interval for region in read_bed(regions)] if regions else None
    genotypes = read_genotypes(vcf, known, asked, unphased)
    intervals = asked or _windows(vcf, genotypes, window)
    reader = HaplotypeReader(fasta, genotypes)
    frame = pandas.DataFrame.from_records(list(_rows(reader, intervals, labels)))
    of_sequence = frame.groupby("sequence")["label"].nunique()
    parts = {part: frame[frame["person"].map(split_of) == part] for part in PARTS}
    with written_whole(Path(output_dir)) as folder:
        for part, rows in parts.items():
            rows.to_parquet(folder / f"{part}.parquet", index=False)
    counts |= {"windows": len(intervals), **{f"rows of {part}": len(rows) for part, rows in parts.items()}}
    counts["distinct sequences"] = len(of_sequence)
    counts["rows with a sequence of several labels"] = int((frame["sequence"].map(of_sequence) > 1).sum())
    return counts | {kind: count for kind, count in (reader.counts + genotypes.counts).items() if count}


def _deal(people: list[str], labels: Mapping[str, str], seed: int) -> dict[str, str]:
    """The split of each person."""
    by_label = defaultdict(list)
    for name in people:
        by_label[labels[name]].append(name)
    if len(by_label) < 2:
        raise ValueError(
            f"All {len(people)} people have the label {next(iter(by_label))!r}: there is nothing to learn."
        )
    split_of = {}
    for label, names in sorted(by_label.items()):
        if len(names) < 10:
            raise ValueError(
                f"The label {label!r} has {len(names)} people: at least 10 are needed to split them 8:1:1."
            )
        for part, numbers in split_at_random(len(names), random.Random(f"{seed} {label}").getrandbits(32)).items():
            split_of |= {names[number]: part for number in numbers}
    return split_of


def _windows(vcf: str | Path, genotypes: Genotypes, window: int) -> list[Interval]:
    intervals = []
    for contig, sites in genotypes.sites.items():
        intervals += [Interval(contig, i, i + window) for i in range(sites[0].start, sites[-1].start + 1, window)]
    if not intervals:
        raise ValueError(f"{vcf}: there are no variants in it.")
    return intervals


def _rows(reader: HaplotypeReader, intervals: list[Interval], labels: Mapping[str, str]) -> Iterator[dict]:
    for place in Progress(intervals, desc="Reading haplotypes", unit="window"):
        found = reader(place)
        for person, index in zip(reader.genotypes.samples, found.index):
            for haplotype, which in enumerate(index, 1):
                row = {"sequence": found.haplotypes[which].sequence, "label": labels[person], "person": person}
                yield {**row, "haplotype": haplotype, **place._asdict()}


__all__ = ["read_sample_labels", "write_population"]
