"""The settings of `train_dna.py`. Each field is a flag and a line of a recipe.

Each task has a class for its own settings; `DNAArguments` inherits from all of them, and one parser reads it.
"""

from dataclasses import dataclass, field

import transformers

from textgenome.configuration.arguments import EncoderArguments, ExampleArguments, PublishedDefaults, RowArguments
from textgenome.configuration.expression_arguments import ExpressionArguments


@dataclass
class GenomeArguments:
    """Files of a genome from which some tasks read their rows."""

    fasta: str | None = field(default=None, metadata={"help": "A genome: FASTA, plain or compressed by bgzip."})
    vcf: str | None = field(default=None, metadata={"help": "Variant calls on it: VCF, plain or compressed, or BCF."})
    regions: str | None = field(default=None, metadata={"help": "BED file of the regions to train on."})
    test_regions: str | None = field(default=None, metadata={"help": "BED file of the regions to evaluate on."})
    test_contigs: list[str] | None = field(
        default=None, metadata={"help": "Contigs to hold out for evaluation, instead of regions."}
    )
    validation_regions: str | None = field(
        default=None, metadata={"help": "BED file of the regions for early stopping, separate from the other two."}
    )
    stride: int | None = field(
        default=None,
        metadata={"help": "Bases between the starts of training windows. Defaults to `dna_window`: no overlap."},
    )
    gtf: str | None = field(
        default=None,
        metadata={
            "help": "Genes: GTF or GFF3, plain or compressed. `annotation` takes several files separated by commas; "
            "the name of a BED file is a label."
        },
    )
    labels: str | None = field(
        default=None,
        metadata={
            "help": "What to learn: for `classification`, the column ID, QUAL or FILTER of `vcf`, or a key of INFO; "
            "for `annotation`, types of features separated by commas, such as CDS,exon."
        },
    )


@dataclass
class ClassificationArguments(ExampleArguments):
    """Settings of `classification`."""

    problem_type: str | None = field(
        default=None,
        metadata={
            "help": "Kind of the labels. By default, lists are several labels per row, numbers that are not all whole "
            "are the values of a regression, and everything else is a class.",
            "choices": ["single_label_classification", "multi_label_classification", "regression"],
        },
    )
    class_weights: str = field(
        default="none",
        metadata={
            "help": "`balanced` weights rare classes more in the loss, so that all classes count alike.",
            "choices": ["none", "balanced"],
        },
    )
    baselines: bool = field(
        default=True,
        metadata={
            "help": "Also fit baselines on the train rows and measure them beside the model: 3-5-mers, and a small "
            "CNN trained from scratch (about 40 CPU seconds), once more with shuffled labels."
        },
    )
    dataset_validation_split: str | None = field(
        default=None,
        metadata={"help": "Split for early stopping, different from the one that is evaluated at the end."},
    )


@dataclass
class TracksArguments:
    """Settings of `tracks`: signals along a genome."""

    tracks: str | None = field(
        default=None,
        metadata={"help": "A table of bigWig files, with the columns name, path, group and strand (+, - or a dot)."},
    )
    resolution: int = field(default=32, metadata={"help": "Bases per predicted bin, 1 to 128."})
    loss: str = field(
        default="poisson",
        metadata={
            "help": "`poisson` and `poisson_multinomial` are for counts and count-like signals, `tweedie` for signals "
            "that are mostly 0, `mse` for any.",
            "choices": ["mse", "poisson", "poisson_multinomial", "tweedie"],
        },
    )
    target_scaling: str = field(
        default="squash",
        metadata={
            "help": "`squash` divides a signal by its mean, raises it to the power 0.75 and compresses values above "
            "10, as Enformer, Borzoi and Genos do; predictions are scaled back. `none` is for signals that "
            "are scaled already.",
            "choices": ["none", "squash"],
        },
    )
    uncovered: str = field(
        default="zero",
        metadata={
            "help": "Value of bases that a bigWig file does not cover: `zero`, or `nan` for unknown.",
            "choices": ["nan", "zero"],
        },
    )
    reverse_complement: bool = field(
        default=True,
        metadata={"help": "Reverse-complement half of the training windows, and swap the tracks of the two strands."},
    )
    shift: int = field(default=0, metadata={"help": "Shift training windows by up to this many bases."})
    average_strands: bool = field(
        default=False, metadata={"help": "Average the predictions of both strands in the evaluation."}
    )
    track_head: str = field(
        default="dilated",
        metadata={
            "help": "`dilated` is a stack of residual convolutions, each with twice the dilation of the one before; "
            "`genos` has the two convolutions of Genos, and `linear` none.",
            "choices": ["dilated", "genos", "linear"],
        },
    )
    track_width: int = field(default=64, metadata={"help": "Channels of the `dilated` head."})
    track_layers: int = field(default=7, metadata={"help": "Convolutions of the `dilated` head."})
    track_dropout: float = field(default=0.1, metadata={"help": "Dropout of the head."})


@dataclass
class AnnotationArguments:
    """Settings of `annotation`: labels of the bases of a genome."""

    stranded: bool = field(
        default=True,
        metadata={
            "help": "Read both strands, and label each with its own features. If false, features of both strands "
            "count."
        },
    )
    test_share: float = field(
        default=0.2,
        metadata={"help": "Share of the genome to hold out, in blocks, if no test regions or contigs are given."},
    )
    validation_share: float = field(
        default=0.1,
        metadata={"help": "Share of the rest, in blocks, for early stopping and for thresholds."},
    )
    overlap: int | None = field(
        default=None,
        metadata={
            "help": "Bases on either side of a tile that are read but not labelled, after training. Defaults to an "
            "eighth of the tile."
        },
    )
    base_head: str = field(
        default="linear",
        metadata={
            "help": "`linear`, one layer on the states, or `cnn`, dilated convolutions after it.",
            "choices": ["linear", "cnn"],
        },
    )
    cnn_channels: int = field(default=64, metadata={"help": "Number of channels of the convolutions."})
    cnn_kernel_size: int = field(default=9, metadata={"help": "Kernel size of the convolutions."})
    cnn_stride: int = field(
        default=1, metadata={"help": "Bases per position: 3, as in a codon, takes a third of the time."}
    )
    cnn_dilations: list[int] = field(
        default_factory=lambda: [1, 3, 9, 27, 81],
        metadata={"help": "Dilations of the convolutions, in order."},
    )
    focal_gamma: float = field(default=0.0, metadata={"help": "Exponent of the focal loss; 0 disables it."})


@dataclass
class DNAArguments(
    AnnotationArguments,
    ExpressionArguments,
    TracksArguments,
    ClassificationArguments,
    GenomeArguments,
    RowArguments,
):
    """The task to train a model of DNA alone for, and its rows."""

    task: str = field(
        default="classification",
        metadata={
            "help": "`classification` predicts classes, labels or values of sequences, or of pairs of them; "
            "`annotation` labels the bases of a genome; `expression` predicts the expression of genes from "
            "people's haplotypes; `tracks` predicts signals along a genome.",
            "choices": ["annotation", "classification", "expression", "tracks"],
        },
    )

    @property
    def needs_table(self) -> bool:
        return self.task == "classification" and self.vcf is None


@dataclass
class DNAModelArguments(EncoderArguments):
    """The DNA encoder to put a head on: give `dna_model` or `dna_config`.

    The task `expression` can continue from a model with its head instead, `model_name_or_path`.
    """

    model_name_or_path: str | None = field(
        default=None, metadata={"help": "Folder or Hub id of a model of the task, with its head, to continue from."}
    )
    dtype: str = field(
        default="auto",
        metadata={
            "help": "Data type for a frozen encoder. Defaults to that of its checkpoint. The head, and an encoder "
            "that is trained, are float32.",
            "choices": ["auto", "bfloat16", "float16", "float32"],
        },
    )
    pooling: str = field(
        default="attention",
        metadata={
            "help": "How to pool the states of a sequence: `attention` by a learnt query, `mean`, `max`, `min`, or "
            "the `last` state. `site_difference` is for pairs: the variant's states minus the reference's at "
            "the changed site.",
            "choices": ["attention", "mean", "max", "min", "last", "site_difference"],
        },
    )
    pooling_bins: int = field(
        default=1,
        metadata={
            "help": "With `mean`, `max` or `min`: number of equal parts of a sequence to pool separately, so that the "
            "head can tell places apart."
        },
    )
    classifier_dropout: float = field(default=0.1, metadata={"help": "Dropout before the last layer of the head."})
    pooling_num_heads: int = field(
        default=8, metadata={"help": "Number of heads of the attention pooling; must divide the width of the encoder."}
    )

    def __post_init__(self):
        super().__post_init__()
        if sum(each is not None for each in (self.dna_model, self.dna_config, self.model_name_or_path)) != 1:
            raise ValueError(
                "Give one encoder: dna_model, or dna_config for random weights; or a model to continue from, "
                "model_name_or_path."
            )


@dataclass
class DNATrainingArguments(PublishedDefaults, transformers.TrainingArguments):
    """The `TrainingArguments` of transformers with the published defaults for a model of DNA alone."""

    num_train_epochs: float = field(default=10, metadata={"help": "Number of passes over the rows."})
    do_eval: bool = field(default=True, metadata={"help": "Evaluate on the test split after training."})
    remove_unused_columns: bool = field(default=False, metadata={"help": "Must stay false: the collator reads them."})
    early_stopping_patience: int | None = field(
        default=None,
        metadata={
            "help": "Stop after this many evaluations (by default one per epoch) without a lower loss, and keep the "
            "best weights. `metric_for_best_model` names another metric."
        },
    )
    dna_cache_dir: str | None = field(
        default=None,
        metadata={
            "help": "Folder for the states of a frozen encoder, which runs can share. Defaults to `dna_features` in "
            "`output_dir`. The tasks that read a genome use it, `tracks` only without `shift`."
        },
    )
    dna_cache_gb: float = field(
        default=100, metadata={"help": "Maximum size of that folder, in GB; 0 stores nothing."}
    )

    def __post_init__(self):
        if self.early_stopping_patience is not None:
            if self.early_stopping_patience < 1:
                raise ValueError(f"early_stopping_patience is {self.early_stopping_patience}, but must be 1 or more.")
            self.load_best_model_at_end = True
            if self.eval_strategy == "no":
                self.eval_strategy = self.save_strategy = "epoch"
        super().__post_init__()


__all__ = ["DNAArguments", "DNAModelArguments", "DNATrainingArguments", "GenomeArguments", "TracksArguments"]
