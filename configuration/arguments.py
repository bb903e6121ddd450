"""The settings of `train_sft.py`, and those that both training scripts share: each a flag and a line of a recipe."""

from dataclasses import dataclass, field, replace

from trl import SFTConfig

from textgenome.configuration.mixture_arguments import TableArguments, read_tables
from textgenome.configuration.model_arguments import EncoderArguments, ModelArguments, check_choices


@dataclass
class RowArguments:
    """The rows to train on, and the window of DNA that the model sees."""

    dataset_name: str | None = field(
        default=None,
        metadata={
            "help": "A JSON, JSON lines, CSV, TSV or Parquet file, a folder of them with the splits in the file "
            "names, a data set id on the Hub, or `starter` for the built-in rows. Columns: reference_sequence, "
            "variant_sequence and answer; for a model that writes text also question and, if you have it, reasoning; "
            "or messages."
        },
    )
    columns: str | None = field(
        default=None,
        metadata={
            "help": "Columns of the table that have other names: reference_sequence=ref,variant_sequence=alt,"
            "answer=CLNSIG."
        },
    )
    question: str | None = field(
        default=None,
        metadata={
            "help": "For a model that writes text: the question to ask about every row. {GENE} is replaced by the "
            "row's value in that column."
        },
    )
    dataset_train_split: str = field(default="train", metadata={"help": "Split to train on."})
    dataset_test_split: str = field(default="validation", metadata={"help": "Split to evaluate on."})
    on_bad_row: str = field(
        default="raise",
        metadata={"help": "`raise` stops before training, `skip` leaves out bad rows.", "choices": ["raise", "skip"]},
    )
    dna_window: int | None = field(
        default=None,
        metadata={
            "help": "Maximum number of bases in each window around a variant. Defaults to the checkpoint's, or 2,048."
        },
    )

    allow_change: list[str] = field(
        default_factory=list,
        metadata={
            "help": "Settings that may differ from those with which the run in output_dir started; the model card "
            "lists them. `data_fingerprint` means the rows."
        },
    )

    @property
    def needs_table(self) -> bool:
        """Whether the rows come from a table: some tasks read genome files instead."""
        return True

    @property
    def tables(self) -> list["RowArguments"]:
        """These settings for each table that the rows come from."""
        return [self]

    def __post_init__(self):
        if self.needs_table and self.dataset_name is None:
            raise ValueError("Name the rows to train on: --dataset_name FILE, FOLDER or HUB_ID, or starter.")
        check_choices(self)


@dataclass
class ExampleArguments:
    """Rows that travel with the model."""

    saved_examples: int = field(
        default=0,
        metadata={
            "help": "Number of rows of the test split to save with the model, one of each answer, as examples for the "
            "page of `textgenome serve`. They contain DNA, which travels with the model: not for private sequences."
        },
    )


@dataclass
class DataArguments(ExampleArguments, RowArguments):
    """The rows to train on, and which parts of them the model sees."""

    datasets: list[TableArguments] = field(
        default_factory=list,
        metadata={
            "help": "In place of dataset_name, several tables to train on together. In a recipe a list with, for "
            "each, `path` and perhaps split, test_split, fraction, question, columns and job; as a flag their paths."
        },
    )
    dna: str = field(
        default="variant",
        metadata={
            "help": "`variant` shows the DNA; `none` leaves it out, to train a text-only control.",
            "choices": ["variant", "none"],
        },
    )
    dna_truncation: str = field(
        default="variant_window",
        metadata={
            "help": "`variant_window` cuts around the difference; `per_side` first cuts 1,024 bases at both ends.",
            "choices": ["variant_window", "per_side"],
        },
    )
    reasoning_format: str | None = field(
        default=None,
        metadata={
            "help": "`think` puts the reasoning between think tags, `plain` writes it before the answer, `none` "
            "leaves out the column `reasoning`. Defaults to the checkpoint's format, or `think`.",
            "choices": ["think", "plain", "none"],
        },
    )
    question_dropout: float = field(
        default=0.0,
        metadata={
            "help": "Share of the training rows, drawn anew in each epoch, that ask the constant question of the data "
            "set instead of their own, so that only the DNA tells the answer."
        },
    )
    dna_dropout: float = field(
        default=0.0,
        metadata={"help": "Share of the other training rows that are asked without DNA, drawn anew in each epoch."},
    )
    generation_rows: int = field(
        default=0,
        metadata={
            "help": "Number of rows of the test split (of a mixture: of each job) to answer after training: "
            "unchanged, with the DNA exchanged between rows, and with the DNA removed. Prints the three accuracies."
        },
    )
    max_new_tokens: int = field(default=1024, metadata={"help": "Maximum number of tokens in a generated answer."})

    @property
    def needs_table(self) -> bool:
        return not self.datasets

    @property
    def tables(self) -> list["DataArguments"]:
        return [self._of_table(table) for table in self.datasets] or [self]

    def _of_table(self, table: TableArguments) -> "DataArguments":
        return replace(
            self,
            datasets=[],
            dataset_name=table.path,
            dataset_train_split=table.split or self.dataset_train_split,
            dataset_test_split=table.test_split or self.dataset_test_split,
            question=table.question,
            columns=table.columns,
        )

    def __post_init__(self):
        super().__post_init__()
        self.datasets = read_tables(self.datasets)
        if self.datasets:
            alone = [name for name in ("dataset_name", "question", "columns") if getattr(self, name) is not None]
            if alone:
                raise ValueError(f"{', '.join(alone)}: not with datasets, of which each table has its own.")
            if self.question_dropout:
                raise ValueError("question_dropout: the jobs of a mixture have no question in common.")
        for name in ("question_dropout", "dna_dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, but must be a share, from 0 to 1.")
        if self.dna == "none" and (self.question_dropout or self.dna_dropout):
            raise ValueError("question_dropout and dna_dropout need the DNA: leave them out with dna: none.")


@dataclass
class PublishedDefaults:
    """The settings of the trainer that BioReason (arXiv 2505.23579) and Genos share."""

    per_device_train_batch_size: int = field(default=1, metadata={"help": "Batch size per device."})
    gradient_accumulation_steps: int = field(default=8, metadata={"help": "Number of batches per optimizer step."})
    num_train_epochs: float = field(default=5, metadata={"help": "Number of passes over the rows."})
    learning_rate: float = field(default=5e-5, metadata={"help": "Peak learning rate."})
    weight_decay: float = field(default=0.01, metadata={"help": "Weight decay of AdamW."})
    lr_scheduler_type: str = field(default="cosine", metadata={"help": "Learning rate schedule."})
    warmup_steps: float = field(default=0.1, metadata={"help": "Number of warmup steps, or their share if below 1."})
    max_grad_norm: float = field(default=1.0, metadata={"help": "Maximum gradient norm (clipping)."})

    def __post_init__(self):
        if self.activation_checkpointing is None:
            self.activation_checkpointing = self.gradient_checkpointing  # TRL sets the name that is deprecated
        super().__post_init__()
        if self.device.type == "cpu":
            self.dataloader_pin_memory = False  # torch warns of it where there is no GPU


@dataclass
class TrainingArguments(PublishedDefaults, SFTConfig):
    """TRL's `SFTConfig` with the published defaults.

    Raises `ValueError` for settings with which SFTTrainer would tokenize the rows itself, and so drop the DNA.
    """

    max_length: int | None = field(default=None, metadata={"help": "Must stay unset: rows are not truncated."})
    assistant_only_loss: bool = field(
        default=True, metadata={"help": "Compute the loss on the assistant's turns only."}
    )
    remove_unused_columns: bool = field(default=False, metadata={"help": "Must stay false: the collator reads them."})
    dataset_kwargs: dict | str | None = field(
        default_factory=lambda: {"skip_prepare_dataset": True}, metadata={"help": "Must skip TRL's own preparation."}
    )
    cache_dna_features: bool = field(
        default=False,
        metadata={
            "help": "Store the states of a frozen DNA encoder for each window on disk, and read them from there."
        },
    )
    dna_cache_dir: str | None = field(
        default=None,
        metadata={
            "help": "Folder for these states, which runs can share. Defaults to `dna_features` in `output_dir`."
        },
    )
    dna_cache_gb: float = field(default=100, metadata={"help": "Maximum size of that folder, in GB."})
    dataloader_num_workers: int | None = field(
        default=None,
        metadata={"help": "Number of processes that prepare batches. Defaults to 2 on a GPU and 0 elsewhere."},
    )

    def __post_init__(self):
        self.include_num_input_tokens_seen = "non_padding"  # what tokens per second are counted from
        workers = self.dataloader_num_workers
        self.dataloader_num_workers = workers or 0
        super().__post_init__()
        if workers is None and self.device.type == "cuda":
            self.dataloader_num_workers = 2
            self.accelerator_config.non_blocking = True  # batches are copied while the step before runs
        wrong = {
            "packing": self.packing,
            "padding_free": self.padding_free,
            "max_length": self.max_length is not None,
            "assistant_only_loss": not self.assistant_only_loss,
            "remove_unused_columns": self.remove_unused_columns,
            "dataset_kwargs": (self.dataset_kwargs or {}).get("skip_prepare_dataset") is not True,
        }
        if self.trust_remote_code:
            raise ValueError("trust_remote_code: training never runs code from a repository. See docs/encoders.md.")
        if self.use_liger_kernel and self.device.type != "cuda":
            raise ValueError("use_liger_kernel: Liger's kernels need a GPU. Leave it at its default.")
        if any(wrong.values()):
            raise ValueError(
                f"{', '.join(name for name in wrong if wrong[name])}: with this setting the trainer would drop the "
                "DNA or train on the prompt. Leave it at its default."
            )


__all__ = [
    "DataArguments",
    "EncoderArguments",
    "ExampleArguments",
    "ModelArguments",
    "PublishedDefaults",
    "RowArguments",
    "TrainingArguments",
    "check_choices",
]
