"""The settings of `train_sft.py`, and those that both training scripts share: each a flag and a line of a recipe."""

import json
from dataclasses import dataclass, field, fields, replace

from trl import SFTConfig

from textgenome.configuration.mixture_arguments import TableArguments, read_tables


WAYS = "Choose one way to train the DNA encoder: all of it, its last layers, or LoRA on it."


def check_choices(arguments) -> None:
    """Raise `ValueError` if a value is not one of its field's choices: argparse checks flags, but not recipes."""
    for each in fields(arguments):
        choices, value = each.metadata.get("choices"), getattr(arguments, each.name)
        if choices and value is not None and value not in choices:
            raise ValueError(f"{each.name} is {value!r}, but must be one of {', '.join(choices)}.")


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
class DataArguments(RowArguments):
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
            "help": "Number of rows of the test split to answer after training: unchanged, with the DNA exchanged "
            "between rows, and with the DNA removed. Prints the three accuracies."
        },
    )
    max_new_tokens: int = field(default=1024, metadata={"help": "Maximum number of tokens in a generated answer."})
    saved_examples: int = field(
        default=0,
        metadata={
            "help": "Number of rows of the test split to save with the model, one of each answer, as examples for the "
            "page of `textgenome serve`. They contain DNA, which travels with the model: not for private sequences."
        },
    )

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
class EncoderArguments:
    """The DNA encoder to start from, and which parts of it to train."""

    dna_model: str | None = field(
        default=None,
        metadata={"help": "Folder or Hub id of a DNA encoder, or of a textgenome model that contains one."},
    )
    dna_config: dict | str | None = field(
        default=None, metadata={"help": "Configuration of a DNA encoder to initialize with random weights."}
    )
    dna_tokenizer: str | None = field(
        default=None,
        metadata={
            "help": "`hyenadna`, `genos`, `nucleotide_transformer`, `nucleotide_transformer_v2`, `enformer` or "
            "`bytes`, or a folder or Hub id to load a DNA tokenizer from. Defaults to the tokenizer that the encoder "
            "was trained with."
        },
    )
    dna_feature_layer: int | None = field(
        default=None,
        metadata={"help": "Hidden state of the encoder to use. Defaults to the last, -1."},
    )
    dna_feature_module: str | None = field(
        default=None,
        metadata={
            "help": "Module of the encoder whose output to use instead of a hidden state, such as blocks.20.mlp.l3."
        },
    )
    both_strands: str = field(
        default="none",
        metadata={
            "help": "Encode the reverse complement as well: `average` takes the mean of both strands, aligned, and "
            "`concat` concatenates them. Needs an encoder whose tokens are single bases.",
            "choices": ["none", "average", "concat"],
        },
    )
    attn_implementation: str | None = field(
        default=None, metadata={"help": "Attention implementation, such as sdpa or flash_attention_2."}
    )
    freeze_dna_encoder: bool = field(default=True, metadata={"help": "Do not train the DNA encoder."})
    train_dna_layers: int = field(
        default=0, metadata={"help": "Number of last layers of the DNA encoder to train; the others stay frozen."}
    )
    lora_dna_encoder: bool = field(
        default=False, metadata={"help": "Train the DNA encoder with LoRA on its linear layers."}
    )
    lora_r: int = field(default=32, metadata={"help": "LoRA rank."})
    lora_alpha: int = field(default=64, metadata={"help": "LoRA alpha."})
    lora_dropout: float = field(default=0.05, metadata={"help": "LoRA dropout."})

    @property
    def base_models(self) -> list[str]:
        """Names of the pretrained models to start from; none for random weights."""
        names = (getattr(self, name, None) for name in ("model_name_or_path", "text_model", "dna_model"))
        return [name for name in names if name]

    def __post_init__(self):
        # On the command line a configuration is JSON; a recipe has it as a mapping.
        if isinstance(self.dna_config, str):
            self.dna_config = json.loads(self.dna_config)
        check_choices(self)
        if (not self.freeze_dna_encoder) + bool(self.train_dna_layers) + self.lora_dna_encoder > 1:
            raise ValueError(WAYS)


@dataclass
class ModelArguments(EncoderArguments):
    """The model to start from, and which parts of it to train.

    Give `model_name_or_path`; or `text_model` or `text_config`, together with `dna_model` or `dna_config`.
    """

    model_name_or_path: str | None = field(default=None, metadata={"help": "Folder or Hub id of a fused checkpoint."})
    model_revision: str = field(default="main", metadata={"help": "Branch, tag or commit of the fused checkpoint."})
    text_model: str | None = field(
        default=None, metadata={"help": "Folder or Hub id of a causal language model to join with an encoder."}
    )
    text_config: dict | str | None = field(
        default=None,
        metadata={
            "help": "Configuration of a language model to initialize with random weights, with its `model_type`."
        },
    )
    text_vocab_size: int = field(
        default=1024, metadata={"help": "Vocabulary size of the tokenizer that is trained for a `text_config`."}
    )
    show_special_tokens: bool = field(
        default=False,
        metadata={
            "help": "Also show the language model the special tokens that the DNA tokenizer adds, such as <cls>."
        },
    )
    projector_type: str | None = field(
        default=None,
        metadata={
            "help": "`linear` (default) is one layer and `mlp` two; `pooled` averages neighbouring states away from "
            "the variant; `resampler` turns a sequence into a fixed number of placeholders.",
            "choices": ["linear", "mlp", "pooled", "resampler"],
        },
    )
    projector_pool_size: int = field(
        default=8, metadata={"help": "Number of neighbouring states that `pooled` averages."}
    )
    projector_full_resolution: int = field(
        default=16, metadata={"help": "Bases on each side of a variant that `pooled` does not average."}
    )
    projector_num_queries: int = field(default=64, metadata={"help": "Number of placeholders of `resampler`."})
    dtype: str = field(
        default="auto",
        metadata={
            "help": "Data type for the weights. `auto` is float32 if the language model is trained without LoRA, else "
            "the data type of the checkpoints. The projector and LoRA are always float32.",
            "choices": ["auto", "bfloat16", "float16", "float32"],
        },
    )
    freeze_language_model: bool = field(
        default=False, metadata={"help": "Do not train the language model. Excludes LoRA."}
    )
    use_peft: bool = field(default=True, metadata={"help": "Train the language model with LoRA."})
    lora_target_modules: list[str] | None = field(
        default=None,
        metadata={
            "help": "Layers of the language model to adapt. Defaults to all linear layers except the head. Layers of "
            "the same name in the DNA encoder are not adapted."
        },
    )

    def __post_init__(self):
        super().__post_init__()
        if isinstance(self.text_config, str):
            self.text_config = json.loads(self.text_config)
        sides = (("text_model", "text_config"), ("dna_model", "dna_config"))
        given = [sum(getattr(self, name) is not None for name in side) for side in sides]
        if given != ([0, 0] if self.model_name_or_path else [1, 1]):
            raise ValueError(
                "Give one model: model_name_or_path; or text_model or text_config, and dna_model or dna_config."
            )
        of_the_checkpoint = ("dna_tokenizer", "dna_feature_", "both_strands", "show_special_tokens", "projector_")
        joined = [
            each.name
            for each in fields(self)
            if each.name.startswith(of_the_checkpoint) and getattr(self, each.name) != each.default
        ]
        if self.model_name_or_path and joined:
            raise ValueError(f"{', '.join(joined)}: a fused checkpoint has its own. Set this only to join two models.")
        if self.lora_dna_encoder and not self.use_peft:
            raise ValueError("lora_dna_encoder needs use_peft.")
        if self.use_peft and self.freeze_language_model:
            raise ValueError(
                "freeze_language_model leaves nothing for LoRA to adapt: set use_peft to false, or do not freeze."
            )


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
    "ModelArguments",
    "PublishedDefaults",
    "RowArguments",
    "TrainingArguments",
    "check_choices",
]
