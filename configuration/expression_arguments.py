"""The settings of the task `expression` of `train_dna.py`."""

from dataclasses import dataclass, field


@dataclass
class ExpressionArguments:
    """Settings of the task `expression`."""

    expression: str | None = field(
        default=None,
        metadata={
            "help": "Expression of people: a BED file as QTLtools and tensorQTL read it, or a CSV file with the "
            "columns split, sample, gene, chr, TSS, strand, log_TPM."
        },
    )
    covariates: str | None = field(
        default=None,
        metadata={
            "help": "TSV file of numbers with a covariate per line and a person per column, or transposed. A "
            "regression on them is fitted to the training people, and what it explains is subtracted. `none` "
            "ignores a recipe's."
        },
    )
    window: int = field(default=16384, metadata={"help": "Bases around the start of a gene that the model sees."})
    regime: str = field(
        default="individuals",
        metadata={
            "help": "`individuals` learns from each person's two haplotypes; `reference` learns the mean of the "
            "training people from the reference, one row per gene. Continue with `individuals` from such a "
            "model by --model_name_or_path.",
            "choices": ["reference", "individuals"],
        },
    )
    samples_train: list[str] | None = field(
        default=None,
        metadata={"help": "People to train on: names, or a file with one per line. Defaults to all others."},
    )
    samples_test: list[str] | None = field(
        default=None,
        metadata={"help": "People to hold out: names or a file. By default, `test_share` of them are drawn."},
    )
    genes_test: list[str] | None = field(
        default=None, metadata={"help": "Genes to hold out: names or a file. By default, none."}
    )
    test_share: float = field(default=0.2, metadata={"help": "Share of people to hold out."})
    log: bool = field(
        default=True, metadata={"help": "Learn log2(value + 1). The values of a partition are logarithms already."}
    )
    normalization: str = field(
        default="none",
        metadata={
            "help": "Normalization of each gene over its training people: `center` subtracts the mean, `zscore` also "
            "divides by the standard deviation, `rank` maps ranks to normal quantiles.",
            "choices": ["none", "center", "zscore", "rank"],
        },
    )
    indels: bool = field(
        default=False, metadata={"help": "Also apply insertions and deletions; by default only SNVs are applied."}
    )
    unphased: str | None = field(
        default=None,
        metadata={
            "help": "Treatment of unphased heterozygotes: take the `reference`, or `skip` the site. By default they "
            "raise an error.",
            "choices": ["reference", "skip"],
        },
    )
    expression_head: str = field(
        default="tower",
        metadata={
            "help": "`tower` reads all states of the window, `center` attends to those in the middle.",
            "choices": ["tower", "center"],
        },
    )
    state_bin: int | None = field(
        default=None,
        metadata={"help": "Average states over this many bases before `tower` reads them; `center` reads all states."},
    )
    subtract_gene_mean: bool = field(
        default=False,
        metadata={
            "help": "Subtract from the states of each gene their mean over the training people, so that the model "
            "sees what differs between people. The means are saved beside the model."
        },
    )
    combine: str = field(
        default="mean",
        metadata={
            "help": "`mean` averages the outputs for both haplotypes, `concat` reads both at once.",
            "choices": ["mean", "concat"],
        },
    )
    pair_loss: float | None = field(
        default=None,
        metadata={
            "help": "Weight, from 0 to 1, of the loss on the differences between people at a gene. Defaults to 0.3, "
            "and to 0 for the regime `reference`."
        },
    )
    group_size: int = field(
        default=16, metadata={"help": "Number of people per gene in each batch; must divide the batch size."}
    )


__all__ = ["ExpressionArguments"]
