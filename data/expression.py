"""Expression of genes in people: tables of it, covariates, and what of both a model learns."""

import gzip
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas
from transformers.utils import logging

from textgenome.data.haplotypes import read_names
from textgenome.genome.intervals import printable


logger = logging.get_logger(__name__)

FEWEST_PEOPLE = 20
PARTITION = ("split", "sample", "gene", "chr", "TSS", "strand", "log_TPM")
NORMALIZATIONS = ("none", "center", "zscore", "rank")
# What the BED files of QTLtools and tensorQTL have before the people; names are theirs and those of data sets.
_ANNOTATIONS = {"pid", "gid", "gene", "gene_id", "gene_name", "phenotype_id", "length", "strand", "score", "info"}
_SHOWN = 10


class Gene(NamedTuple):
    """A gene: `start` is the first base of its transcript, counted from 0, and `strand` is `+` or `-`."""

    name: str
    contig: str
    start: int
    strand: str


@dataclass
class Expression:
    """What people express.

    Args:
        genes: The genes.
        samples: Names of the people.
        values: `(genes, people)`, float64; NaN where a table has no row.
        splits: Of a partition: by `sample` and `gene`, the split of each name (`train`, `valid`, `test`).
        is_log: Whether the values are logarithms already.
    """

    genes: list[Gene]
    samples: list[str]
    values: np.ndarray
    splits: dict[str, dict[str, str]] | None = None
    is_log: bool = False

    def of_people(self, samples: Sequence[str]) -> "Expression":
        places = [self.samples.index(name) for name in samples]
        return replace(self, samples=list(samples), values=self.values[:, places])

    def of_genes(self, keep: np.ndarray) -> "Expression":
        genes = [gene for gene, kept in zip(self.genes, keep) if kept]
        return replace(self, genes=genes, values=self.values[keep])


def read_expression(path: str | Path) -> Expression:
    """Read a BED file as of QTLtools or tensorQTL (`#chr start end gene ... people`), or a partition as CSV.

    In a BED file the first base of a transcript is `start`, or on the strand `-` the last base before `end`; without
    a column `strand` all genes are read on the strand `+`. A partition has the columns `split, sample, gene, chr, TSS,
    strand, log_TPM`, a row for each gene and person, and counts `TSS` from 1.

    Raises:
        OSError: If the file cannot be opened.
        ValueError: If it has another form; the message names the line or column.
    """
    if str(path).endswith((".csv", ".csv.gz")):
        return _read_partition(path)
    opened = gzip.open if str(path).endswith((".gz", ".bgz")) else open
    with opened(path, "rt", encoding="utf-8") as file:
        lines = [line.rstrip("\r\n").split("\t") for line in file if line.strip() and not line.startswith("##")]
    header = lines[0] if lines else []
    if len(header) < 5 or not header[0].startswith("#"):
        raise ValueError(f"{path}: a BED file of expression starts with a line `#chr start end gene ... people`.")
    first = 4
    while first < len(header) and header[first].lower() in _ANNOTATIONS:
        first += 1
    samples = header[first:]
    _refuse_twice(path, "person", samples)
    strands = [name.lower() for name in header[:first]]
    strand = strands.index("strand") if "strand" in strands else None
    if strand is None:
        logger.warning(f"{path}: there is no column `strand`: all genes are read on the strand +.")
    genes, values = [], []
    for number, columns in enumerate(lines[1:], 2):
        try:
            genes.append(_gene_of(columns, len(header), strand))
            values.append([float(text) if text not in ("", "NA", ".") else np.nan for text in columns[first:]])
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}.") from error
    _refuse_twice(path, "gene", [gene.name for gene in genes])
    if not genes or not samples:
        raise ValueError(f"{path}: it has {len(genes)} genes and {len(samples)} people.")
    return Expression(genes, samples, np.array(values))


def _gene_of(columns: list[str], number: int, strand: int | None) -> Gene:
    if len(columns) != number:
        raise ValueError(f"it has {len(columns)} columns, but the first line names {number}")
    contig, start, end, name = columns[:4]
    start, end = int(start), int(end)
    if start >= end:
        raise ValueError(f"start {start} is not before end {end}")
    sign = columns[strand] if strand is not None else "+"
    if sign not in ("+", "-"):
        raise ValueError(f"the strand is {printable(sign)!r}, but must be + or -")
    return Gene(name, contig, start if sign == "+" else end - 1, sign)


def _read_partition(path: str | Path) -> Expression:
    table = pandas.read_csv(path, dtype=dict.fromkeys(("split", "sample", "gene", "chr", "strand"), str))
    missing = [name for name in PARTITION if name not in table]
    if missing:
        raise ValueError(
            f"{path}: the columns {', '.join(missing)} are missing: a partition has {', '.join(PARTITION)}."
        )
    twice = table.duplicated(["sample", "gene"])
    if twice.any():
        row = table[twice].iloc[0]
        raise ValueError(f"{path}, row {twice.idxmax()}: {row['gene']} of {row['sample']} is there twice.")
    wrong = ~table["strand"].isin(["+", "-"])
    if wrong.any():
        raise ValueError(f"{path}, row {wrong.idxmax()}: the strand must be + or -.")
    places = table.drop_duplicates("gene")
    genes = [Gene(row.gene, row.chr, int(row.TSS) - 1, row.strand) for row in places.itertuples()]
    matrix = table.pivot(index="gene", columns="sample", values="log_TPM").loc[[gene.name for gene in genes]]
    # A name that a training row has is seen in training, whatever other rows it has.
    order = table.sort_values("split", key=lambda column: column != "train", kind="stable")
    splits = {key: order.drop_duplicates(key).set_index(key)["split"].to_dict() for key in ("sample", "gene")}
    return Expression(genes, list(matrix.columns), matrix.to_numpy(float), splits, is_log=True)


def _refuse_twice(path: str | Path, what: str, names: Sequence[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"{path}: the {what} {printable(twice[0])} is there twice.")


def read_covariates(path: str | Path) -> pandas.DataFrame:
    """Covariates by people: the rows are people, the columns numbers; a table with people as columns is turned.

    Names of people may be in the first line, as QTLtools and tensorQTL have it, or in the first column.

    Raises:
        ValueError: If a value is not a number.
    """
    table = pandas.read_csv(path, sep="\t", index_col=0)
    text = [name for name in table if not pandas.api.types.is_numeric_dtype(table[name])]
    if text or table.isna().any(axis=None):
        raise ValueError(
            f"{path}: the column {text[0] if text else table.columns[table.isna().any()][0]!r} holds text "
            "or a gap: covariates are numbers. Write a category as columns of 0 and 1."
        )
    return table.T


def choose_people(
    expression: Expression, genotyped: Sequence[str], covariates: pandas.DataFrame | None
) -> tuple[Expression, pandas.DataFrame | None]:
    """Keep the people that all files have; how many each has is logged.

    Raises:
        ValueError: If they are fewer than 20.
    """
    sets = {"expression": expression.samples, "genotypes": list(genotyped)}
    if covariates is not None:
        if not set(covariates.index) & set(expression.samples):
            covariates = covariates.T
        sets["covariates"] = list(covariates.index)
    common = [name for name in expression.samples if all(name in each for each in map(set, sets.values()))]
    counts = ", ".join(f"{len(names)} in {what}" for what, names in sets.items())
    if len(common) < FEWEST_PEOPLE:
        raise ValueError(f"{len(common)} people are in all files ({counts}): at least {FEWEST_PEOPLE} are needed.")
    if any(len(names) != len(common) for names in sets.values()):
        logger.warning(f"{len(common)} people are in all files: {counts}.")
    return expression.of_people(common), None if covariates is None else covariates.loc[common]


def drop_genes(expression: Expression, trained: np.ndarray) -> Expression:
    """Leave out genes whose values are not finite, or the same for all people; their names are logged.

    Args:
        expression: The values.
        trained: `(people,)`, bool: who is trained on.

    Raises:
        ValueError: If none is left.
    """
    values = expression.values
    known = np.isfinite(values).all(1)
    if expression.splits is not None:  # a partition need not have all genes of all people
        known = ~np.isinf(values).any(1) & np.isfinite(values).any(1)
    spread = np.array([np.ptp(row[np.isfinite(row)]) if np.isfinite(row).any() else 0 for row in values[:, trained]])
    if expression.splits is not None:
        spread[~np.isfinite(values[:, trained]).any(1)] = np.inf  # a gene to test on
    for why, wrong in (
        ("values that are not finite", ~known),
        ("the same value for all people", known & (spread == 0)),
    ):
        report_genes(expression, wrong, why)
    return expression.of_genes(known & (spread > 0))


def report_genes(expression: Expression, wrong: np.ndarray, why: str) -> None:
    """Log which genes are left out.

    Raises:
        ValueError: If these are all.
    """
    names = [gene.name for gene, each in zip(expression.genes, wrong) if each]
    shown = printable(", ".join(names[:_SHOWN])) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    if names and len(names) == len(expression.genes):
        raise ValueError(f"No gene is left: all have {why}, such as {shown}.")
    if names:
        logger.warning(f"Left out {len(names)} of {len(expression.genes)} genes with {why}: {shown}.")


def normalize(
    expression: Expression,
    trained: np.ndarray,
    log: bool,
    covariates: np.ndarray | None = None,
    normalization: str = "none",
) -> np.ndarray:
    """The values that a model learns, `(genes, people)`. All that is estimated is estimated from training people.

    Args:
        expression: The values.
        trained: `(people,)`, bool.
        log: Take log2(value + 1) first, unless the values are logarithms already.
        covariates: `(people, covariates)`: what a linear regression on them explains is taken away; the mean of the
            gene is not.
        normalization: Of each gene: `center` takes its mean away, `zscore` divides by its standard deviation, too, and
            `rank` makes of each person's place among the training people the quantile of a normal distribution.

    Raises:
        ValueError: If a value is negative where its logarithm is to be taken, or there are as many covariates as
            training people.
    """
    values = expression.values.copy()
    if log and not expression.is_log:
        if np.nanmin(values) < 0:
            gene = expression.genes[int(np.nanargmin(np.nanmin(values, 1)))].name
            raise ValueError(f"The gene {gene} has a negative value, which has no logarithm: give --log false.")
        values = np.log2(values + 1)
    if covariates is not None:
        if covariates.shape[1] + 1 >= trained.sum():
            raise ValueError(f"{covariates.shape[1]} covariates are too many for {trained.sum()} training people.")
        scaled = (covariates - covariates[trained].mean(0)) / np.maximum(covariates[trained].std(0), 1e-9)
        design = np.column_stack([np.ones(len(scaled)), scaled])
        for row in values:
            rows = trained & np.isfinite(row)
            if rows.sum() > design.shape[1]:
                row -= design[:, 1:] @ np.linalg.lstsq(design[rows], row[rows], rcond=None)[0][1:]
    if normalization == "none":
        return values
    with np.errstate(invalid="ignore"):
        learnt = np.where(trained, values, np.nan)
        known = np.isfinite(learnt).any(1)
        mean, deviation = np.zeros((len(values), 1)), np.ones((len(values), 1))
        mean[known] = np.nanmean(learnt[known], 1, keepdims=True)
        deviation[known] = np.nanstd(learnt[known], 1, keepdims=True)
    if normalization == "rank":
        return np.array([_quantiles(row, row[trained & np.isfinite(row)]) for row in values])
    return (values - mean) / (np.maximum(deviation, 1e-9) if normalization == "zscore" else 1)


def _quantiles(row: np.ndarray, learnt: np.ndarray) -> np.ndarray:
    """Normal quantiles of the places that values have among those that are learnt (Blom, 1958)."""
    from scipy.stats import norm

    if not len(learnt):
        return row
    below = np.searchsorted(np.sort(learnt), row, "left") + np.searchsorted(np.sort(learnt), row, "right")
    found = norm.ppf((below / 2 + 0.125).clip(0.125, len(learnt) - 0.125) / len(learnt))
    return np.where(np.isfinite(row), found, np.nan)


def choose_split(
    names: Sequence[str],
    train: Sequence[str] | None,
    test: Sequence[str] | None,
    share: float,
    seed: int,
    splits: dict[str, str] | None = None,
    what: str = "people",
) -> np.ndarray:
    """Which names are trained on, `(names,)`, bool; the others are held out.

    Args:
        names: All of them.
        train: Those to train on: names, or a file of them, one a line. All that are not in `test`, if left out.
        test: Those to hold out, likewise.
        share: To hold out where neither is given, drawn by the seed.
        seed: Of the draw.
        splits: Of a partition: the split of each name.
        what: For messages.

    Raises:
        ValueError: If names are unknown or in both, or none is left to train on.
    """
    chosen = {}
    for key, given in (("train", train), ("test", test)):
        chosen[key] = set(
            read_names(given[0]) if given and len(given) == 1 and Path(given[0]).is_file() else given or ()
        )
    both, known = chosen["train"] & chosen["test"], set(names)
    if both:
        raise ValueError(f"{len(both)} {what} are both to train and to test on, such as {printable(sorted(both)[0])}.")
    if (chosen["train"] or chosen["test"]) and not (chosen["train"] | chosen["test"]) & known:
        raise ValueError(
            f"None of the {what} that are named is in the files, such as {min(chosen['test'] | chosen['train'])}."
        )
    unknown = (chosen["train"] | chosen["test"]) - known
    if unknown:
        logger.warning(
            f"{len(unknown)} of the {what} that are named are not in the files, such as {sorted(unknown)[0]}."
        )
    if chosen["train"]:
        trained = np.array([name in chosen["train"] for name in names])
    elif chosen["test"]:
        trained = np.array([name not in chosen["test"] for name in names])
    elif splits is not None:
        trained = np.array([splits[name] == "train" for name in names])
    else:
        held = np.random.default_rng(seed).permutation(len(names))[: round(share * len(names))]
        trained = ~np.isin(np.arange(len(names)), held)
    if not trained.any():
        raise ValueError(f"No {what} are left to train on.")
    return trained


__all__ = [
    "NORMALIZATIONS",
    "Expression",
    "Gene",
    "choose_people",
    "choose_split",
    "drop_genes",
    "normalize",
    "read_covariates",
    "read_expression",
    "report_genes",
]
