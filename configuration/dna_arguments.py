"""The settings of `train_dna.py`, one field a flag or a line of a recipe.

What only one task reads is a class for itself; `DNAArguments` inherits from all of them, and one parser reads it.
"""

from dataclasses import dataclass, field

import transformers

from textgenome.configuration.arguments import EncoderArguments, PublishedDefaults, RowArguments
from textgenome.configuration.expression_arguments import ExpressionArguments


@dataclass
class GenomeArguments:
    """Files of a genome, of which some tasks make their rows."""

    fasta: str | None = field(default=None, metadata={"help": "A genome: FASTA, plain or compressed by bgzip."})
    vcf: str | None = field(default=None, metadata={"help": "Variant calls on it: VCF, plain or compressed, or BCF."})
    regions: str | None = field(default=None, metadata={"help": "A BED file: what of the genome to train on."})
    test_regions: str | None = field(default=None, metadata={"help": "A BED file: what of it to evaluate on."})
    test_contigs: list[str] | None = field(default=None, metadata={"help": "Or contigs to hold out for evaluation."})
    validation_regions: str | None = field(
        default=None, metadata={"help": "A BED file: where early stopping measures, apart from the other two."}
    )
    stride: int | None = field(
        default=None,
        metadata={"help": "Bases between the starts of windows to train on, by default `dna_window`: no overlap."},
    )
    gtf: str | None = field(
        default=None,
        metadata={
            "help": "Its genes: GTF or GFF3, plain or compressed. `annotation` takes several files with commas "
            "between them, BED too, the name of which is a label."
        },
    )
    labels: str | None = field(
        default=None,
        metadata={
            "help": "What is learnt of them. `classification` reads the column ID, QUAL or FILTER of `vcf`, or a key "
            "of INFO. `annotation` takes types of features with commas between them, such as CDS,exon."
        },
    )


@dataclass
class ClassificationArguments:
    """What `classification` learns, and how."""

    problem_type: str | None = field(
        default=None,
        metadata={
            "help": "What the labels are. By default lists are several labels a row, numbers that are not all whole "
            "the values of a regression, and all else classes.",
            "choices": ["single_label_classification", "multi_label_classification", "regression"],
        },
    )
    class_weights: str = field(
        default="none",
        metadata={
            "help": "`balanced` lets the loss count rare classes more, so that all count alike.",
            "choices": ["none", "balanced"],
        },
    )
    baselines: bool = field(
        default=True,
        metadata={
            "help": "Fit baselines on the train rows, too, and measure them beside the model: 3-5-mers, and a small "
            "CNN trained from scratch, about 40 CPU seconds, and once more with shuffled labels."
        },
    )
    dataset_validation_split: str | None = field(
        default=None,
        metadata={"help": "Split on which early stopping chooses, another than is evaluated on in the end."},
    )
    saved_examples: int = field(
        default=0,
        metadata={
            "help": "Save so many rows of the test split with the model, one of each answer, as examples for the page "
            "of `textgenome serve`. They hold DNA, which travels with the model: not for private sequences."
        },
    )


@dataclass
class TracksArguments:
    """Signals along a genome, and how they are learnt."""

    tracks: str | None = field(
        default=None,
        metadata={"help": "A table of bigWig files, with the columns name, path, group and strand (+, - or a dot)."},
    )
    resolution: int = field(default=32, metadata={"help": "Bases of a bin that a signal is predicted for, 1 to 128."})
    loss: str = field(
        default="poisson",
        metadata={
            "help": "`poisson` and `poisson_multinomial` are for counts and what is like them, `tweedie` for signals "
            "of which most are 0, `mse` for any.",
            "choices": ["mse", "poisson", "poisson_multinomial", "tweedie"],
        },
    )
    target_scaling: str = field(
        default="squash",
        metadata={
            "help": "`squash` divides a signal by its mean, takes the power 0.75 and softens what is above 10, as "
            "Enformer, Borzoi and Genos do; predictions are scaled back. `none` is for signals that are so already.",
            "choices": ["none", "squash"],
        },
    )
    uncovered: str = field(
        default="zero",
        metadata={
            "help": "What bases are that a bigWig file has no value for: `zero`, or `nan` for unknown.",
            "choices": ["nan", "zero"],
        },
    )
    reverse_complement: bool = field(
        default=True, metadata={"help": "Turn half of the windows to train on, and swap the tracks of the strands."}
    )
    shift: int = field(default=0, metadata={"help": "Move windows to train on by up to so many bases."})
    average_strands: bool = field(
        default=False, metadata={"help": "Evaluate the mean of the predictions for both strands."}
    )
    track_head: str = field(
        default="dilated",
        metadata={
            "help": "`dilated` has residual convolutions, each of which sees twice as far; `genos` the two of Genos; "
            "`linear` none.",
            "choices": ["dilated", "genos", "linear"],
        },
    )
    track_width: int = field(default=64, metadata={"help": "Channels of the `dilated` head."})
    track_layers: int = field(default=7, metadata={"help": "Convolutions of the `dilated` head."})
    track_dropout: float = field(default=0.1, metadata={"help": "Dropout of the head."})


@dataclass
class AnnotationArguments:
    """What `annotation` learns: labels of the bases of a genome."""

    stranded: bool = field(
        default=True,
        metadata={"help": "Label the strand that is read, and read both. If false, features of both strands count."},
    )
    test_share: float = field(
        default=0.2, metadata={"help": "Without test regions or contigs: share of the genome, in blocks, to hold out."}
    )
    validation_share: float = field(
        default=0.1,
        metadata={"help": "Share of what is left, in blocks, for early stopping and for thresholds."},
    )
    overlap: int | None = field(
        default=None,
        metadata={
            "help": "Bases on either side of a tile that are read but not labelled, after training; by default an "
            "eighth of it."
        },
    )
    base_head: str = field(
        default="linear",
        metadata={
            "help": "One `linear` layer on the states, or dilated convolutions after it (`cnn`).",
            "choices": ["linear", "cnn"],
        },
    )
    cnn_channels: int = field(default=64, metadata={"help": "Channels of the convolutions."})
    cnn_kernel_size: int = field(default=9, metadata={"help": "Positions that each of them reads."})
    cnn_stride: int = field(
        default=1, metadata={"help": "Bases that share a position: 3, as in a codon, takes a third of the time."}
    )
    cnn_dilations: list[int] = field(
        default_factory=lambda: [1, 3, 9, 27, 81],
        metadata={"help": "Distance between these positions in each of them."},
    )
    focal_gamma: float = field(default=0.0, metadata={"help": "Exponent of the focal loss; 0 for none."})


@dataclass
class DNAArguments(
    AnnotationArguments,
    ExpressionArguments,
    TracksArguments,
    ClassificationArguments,
    GenomeArguments,
    RowArguments,
):
    """What to train a model of DNA alone for, and on which rows."""

    task: str = field(
        default="classification",
        metadata={
            "help": "`classification` learns classes, labels or values of sequences, or of pairs of them; "
            "`annotation` labels of the bases of a genome; `expression` what people express of genes, from their two "
            "haplotypes; `tracks` signals along a genome.",
            "choices": ["annotation", "classification", "expression", "tracks"],
        },
    )

    @property
    def needs_table(self) -> bool:
        return self.task == "classification" and self.vcf is None


@dataclass
class DNAModelArguments(EncoderArguments):
    """Which DNA encoder a head is put on. Give one of two: `dna_model` or `dna_config`.

    Or, in place of them, a model with its head to go on with, `model_name_or_path`; the task `expression` takes it.
    """

    model_name_or_path: str | None = field(
        default=None, metadata={"help": "A model of the task to go on with, head and encoder: a folder or a Hub id."}
    )
    dtype: str = field(
        default="auto",
        metadata={
            "help": "Data type of a frozen encoder, by default that of its checkpoint. The head is float32, and so is "
            "an encoder that is trained.",
            "choices": ["auto", "bfloat16", "float16", "float32"],
        },
    )
    pooling: str = field(
        default="attention",
        metadata={
            "help": "What the head reads of the states of a sequence: `attention` of a learnt query, their `mean`, "
            "`max` or `min`, or the `last` one. `site_difference` is for pairs: the variant's less the reference's "
            "states at the changed site.",
            "choices": ["attention", "mean", "max", "min", "last", "site_difference"],
        },
    )
    pooling_bins: int = field(
        default=1,
        metadata={
            "help": "With `mean`, `max` or `min`: into how many equal parts a sequence is divided, each of which is "
            "pooled by itself, so that the head can tell places apart."
        },
    )
    classifier_dropout: float = field(default=0.1, metadata={"help": "Dropout before the last layer of the head."})
    pooling_num_heads: int = field(
        default=8, metadata={"help": "Heads of the attention pooling; they must divide the width of the encoder."}
    )

    def __post_init__(self):
        super().__post_init__()
        if sum(each is not None for each in (self.dna_model, self.dna_config, self.model_name_or_path)) != 1:
            raise ValueError(
                "Give one encoder: dna_model, or dna_config for random weights; or model_name_or_path, a model to go "
                "on with."
            )


@dataclass
class DNATrainingArguments(PublishedDefaults, transformers.TrainingArguments):
    """The `TrainingArguments` of transformers with the published defaults for a model of DNA alone."""

    num_train_epochs: float = field(default=10, metadata={"help": "Passes over the rows."})
    do_eval: bool = field(default=True, metadata={"help": "Evaluate on the test split after training."})
    remove_unused_columns: bool = field(default=False, metadata={"help": "Must stay false: the collator reads them."})
    early_stopping_patience: int | None = field(
        default=None,
        metadata={
            "help": "Stop after so many evaluations, by default one an epoch, that were no better than the best, and "
            "keep the weights of that one. Better is a lower loss; `metric_for_best_model` names another measure."
        },
    )
    dna_cache_dir: str | None = field(
        default=None,
        metadata={
            "help": "Folder for what a frozen encoder makes of windows, which runs may share; by default "
            "`dna_features` in `output_dir`. The tasks of a genome use it, `tracks` without `shift`."
        },
    )
    dna_cache_gb: float = field(default=100, metadata={"help": "Most GB of files in that folder; 0 keeps none."})

    def __post_init__(self):
        if self.early_stopping_patience is not None:
            if self.early_stopping_patience < 1:
                raise ValueError(f"early_stopping_patience is {self.early_stopping_patience}, but must be 1 or more.")
            self.load_best_model_at_end = True
            if self.eval_strategy == "no":
                self.eval_strategy = self.save_strategy = "epoch"
        super().__post_init__()


__all__ = ["DNAArguments", "DNAModelArguments", "DNATrainingArguments", "GenomeArguments", "TracksArguments"]
