"""The settings of `train_dna.py`, one field a flag or a line of a recipe.

What only one task reads is a class for itself; `DNAArguments` inherits from all of them, and one parser reads it.
"""

from dataclasses import dataclass, field

import transformers

from textgenome.configuration.arguments import EncoderArguments, PublishedDefaults, RowArguments


@dataclass
class GenomeArguments:
    """Files of a genome, of which some tasks make their rows."""

    fasta: str | None = field(default=None, metadata={"help": "A genome: FASTA, plain or compressed by bgzip."})
    vcf: str | None = field(default=None, metadata={"help": "Variant calls on it: VCF, plain or compressed, or BCF."})
    regions: str | None = field(default=None, metadata={"help": "A BED file: what of the genome to train on."})
    test_regions: str | None = field(default=None, metadata={"help": "A BED file: what of it to evaluate on."})
    test_contigs: list[str] | None = field(
        default=None, metadata={"help": "Or contigs to evaluate on, of which nothing is trained on."}
    )


@dataclass
class DNAArguments(GenomeArguments, RowArguments):
    """What to train a model of DNA alone for, and on which rows."""

    task: str = field(
        default="classification",
        metadata={"help": "`classification` chooses among the answers of the table.", "choices": ["classification"]},
    )

    @property
    def needs_table(self) -> bool:
        return self.task == "classification"


@dataclass
class DNAModelArguments(EncoderArguments):
    """Which DNA encoder a head is put on. Give one of two: `dna_model` or `dna_config`."""

    dtype: str = field(
        default="auto",
        metadata={
            "help": "Data type of a frozen encoder, by default that of its checkpoint. The head is float32, and so is "
            "an encoder that is trained.",
            "choices": ["auto", "bfloat16", "float16", "float32"],
        },
    )
    pooling_num_heads: int = field(
        default=8, metadata={"help": "Heads of the attention pooling; they must divide the width of the encoder."}
    )

    def __post_init__(self):
        super().__post_init__()
        if (self.dna_model is None) == (self.dna_config is None):
            raise ValueError("Give one encoder: dna_model, or dna_config for random weights.")


@dataclass
class DNATrainingArguments(PublishedDefaults, transformers.TrainingArguments):
    """The `TrainingArguments` of transformers with the published defaults for a model of DNA alone."""

    num_train_epochs: float = field(default=10, metadata={"help": "Passes over the rows."})
    do_eval: bool = field(default=True, metadata={"help": "Evaluate on the test split after training."})
    remove_unused_columns: bool = field(default=False, metadata={"help": "Must stay false: the collator reads them."})


__all__ = ["DNAArguments", "DNAModelArguments", "DNATrainingArguments", "GenomeArguments"]
