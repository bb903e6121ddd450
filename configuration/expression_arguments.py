"""The settings of the task `expression` of `train_dna.py`."""

from dataclasses import dataclass, field


@dataclass
class ExpressionArguments:
    """Of the task `expression`."""

    expression: str | None = field(
        default=None,
        metadata={
            "help": "What people express: a BED file as of QTLtools or tensorQTL, or a partition as CSV, with the "
            "columns split, sample, gene, chr, TSS, strand, log_TPM."
        },
    )
    covariates: str | None = field(
        default=None,
        metadata={
            "help": "A TSV file of numbers, a covariate a line and a person a column, or turned: what a regression on "
            "them, fitted to the training people, explains is taken away. `none` takes away those of a recipe."
        },
    )
    window: int = field(default=16384, metadata={"help": "Bases around the start of a gene that the model sees."})
    regime: str = field(
        default="individuals",
        metadata={
            "help": "`individuals` learns from each person's two haplotypes; `reference` from the reference, a row a "
            "gene, with the mean of the training people. Go on with `individuals` from a model of the reference by "
            "--model_name_or_path.",
            "choices": ["reference", "individuals"],
        },
    )
    samples_train: list[str] | None = field(
        default=None, metadata={"help": "People to train on: names, or a file with one a line. By default all others."}
    )
    samples_test: list[str] | None = field(
        default=None, metadata={"help": "People to hold out, likewise. By default `test_share` of them are drawn."}
    )
    genes_test: list[str] | None = field(
        default=None, metadata={"help": "Genes to hold out, likewise. By default none is."}
    )
    test_share: float = field(default=0.2, metadata={"help": "Share of people that is drawn to be held out."})
    log: bool = field(
        default=True, metadata={"help": "Learn log2(value + 1). The values of a partition are logarithms already."}
    )
    normalization: str = field(
        default="none",
        metadata={
            "help": "Of each gene, by its training people: `center` takes the mean away, `zscore` divides by the "
            "standard deviation, too, `rank` makes normal quantiles of ranks.",
            "choices": ["none", "center", "zscore", "rank"],
        },
    )
    indels: bool = field(
        default=False, metadata={"help": "Apply insertions and deletions, too; by default only SNVs are."}
    )
    unphased: str | None = field(
        default=None,
        metadata={
            "help": "What to do with unphased heterozygotes: take the `reference` there, or `skip` the site. By "
            "default they are refused.",
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
        metadata={
            "help": "Average states over so many bases before `tower` reads them; `center` takes them as they come."
        },
    )
    subtract_gene_mean: bool = field(
        default=False,
        metadata={
            "help": "Take from the states of each gene their mean over the training people, so that the model sees "
            "what differs between people. The means are saved beside the model."
        },
    )
    combine: str = field(
        default="mean",
        metadata={
            "help": "`mean` is the mean of the outputs for both haplotypes, `concat` reads both at once.",
            "choices": ["mean", "concat"],
        },
    )
    pair_loss: float | None = field(
        default=None,
        metadata={
            "help": "Share of the loss of the differences between people at a gene. By default 0.3, and 0 for the "
            "regime `reference`."
        },
    )
    group_size: int = field(
        default=16, metadata={"help": "People of one gene in each batch; it must divide the batch size."}
    )


__all__ = ["ExpressionArguments"]
