"""The settings of `train_sft.py` and what both training scripts share, one field a flag or a line of a recipe."""

import json
from dataclasses import dataclass, field, fields, replace

from trl import SFTConfig

from textgenome.configuration.mixture_arguments import TableArguments, read_tables


WAYS = "Choose one way to train the DNA encoder: all of it, its last layers, or LoRA on it."


def check_choices(arguments) -> None:
    """Refuse values that are none of a field's choices. On the command line argparse does, in a recipe nobody does."""
    for each in fields(arguments):
        choices, value = each.metadata.get("choices"), getattr(arguments, each.name)
        if choices and value is not None and value not in choices:
            raise ValueError(f"{each.name} is {value!r}, but must be one of {', '.join(choices)}.")


@dataclass
class RowArguments:
    """Which rows to train on, and how wide a window of their DNA the model sees."""

    dataset_name: str | None = field(
        default=None,
        metadata={
            "help": "A JSON, JSON lines, CSV, TSV or Parquet file, a folder of them with the splits in the file "
            "names, a data set id on the Hub, or `starter` for the built-in rows. Columns: reference_sequence, "
            "variant_sequence, answer, and for a model with text question and perhaps reasoning; or messages."
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
            "help": "For a model with text: question for every row of a table without one; {GENE} is a value of "
            "the row."
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
        metadata={"help": "Most bases of each window around a variant, by default that of the checkpoint, or 2,048."},
    )

    allow_change: list[str] = field(
        default_factory=list,
        metadata={
            "help": "Names of settings that may be others than when the run in output_dir was begun; the model card "
            "names them. `data_fingerprint` means the rows."
        },
    )

    @property
    def needs_table(self) -> bool:
        """Whether the rows come from a table: some tasks make theirs of genome files."""
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
    """Which rows to train on, and what of them the model sees."""

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
            "help": "`variant` shows the DNA; `none` leaves it out and trains the text-only control.",
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
            "leaves the column `reasoning` out; by default that of the checkpoint, or `think`.",
            "choices": ["think", "plain", "none"],
        },
    )
    question_dropout: float = field(
        default=0.0,
        metadata={
            "help": "Share of the training rows, other ones in each epoch, that ask the constant question of the data "
            "set in place of their own, so that only the DNA tells the answer."
        },
    )
    dna_dropout: float = field(
        default=0.0,
        metadata={"help": "Share of the other training rows that are asked without DNA, other ones in each epoch."},
    )
    generation_rows: int = field(
        default=0,
        metadata={
            "help": "After training, answer so many rows of the test split, drawn by the seed, by generation: "
            "unchanged, with the DNA exchanged between rows and with it removed. Print the three accuracies."
        },
    )
    max_new_tokens: int = field(default=1024, metadata={"help": "Most tokens of a generated answer."})
    saved_examples: int = field(
        default=0,
        metadata={
            "help": "Save so many rows of the test split with the model, one of each answer, as examples for the page "
            "of `textgenome serve`. They hold DNA, which travels with the model: not for private sequences."
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
    """Which DNA encoder to start from, and which parts of it to train."""

    dna_model: str | None = field(
        default=None,
        metadata={"help": "A DNA encoder, or a model of textgenome that has one: a folder or a Hub id."},
    )
    dna_config: dict | str | None = field(
        default=None, metadata={"help": "Configuration of a DNA encoder to start from random weights."}
    )
    dna_tokenizer: str | None = field(
        default=None,
        metadata={
            "help": "`hyenadna`, `genos`, `nucleotide_transformer`, `nucleotide_transformer_v2`, `enformer` or "
            "`bytes`, or a folder or Hub id to load a DNA tokenizer from. By default what the encoder was trained "
            "with."
        },
    )
    dna_feature_layer: int | None = field(
        default=None,
        metadata={"help": "Hidden state of the encoder that is used; by default the last, -1."},
    )
    dna_feature_module: str | None = field(
        default=None,
        metadata={
            "help": "In place of it, name of a module of the encoder whose output is used, such as blocks.20.mlp.l3."
        },
    )
    both_strands: str = field(
        default="none",
        metadata={
            "help": "Encode the reverse complement as well: `average` takes the mean of both, turned to one strand, "
            "`concat` puts them beside each other. For encoders of single bases.",
            "choices": ["none", "average", "concat"],
        },
    )
    attn_implementation: str | None = field(default=None, metadata={"help": "For example sdpa or flash_attention_2."})
    freeze_dna_encoder: bool = field(default=True, metadata={"help": "Keep the DNA encoder as it is."})
    train_dna_layers: int = field(
        default=0, metadata={"help": "Train so many of the last layers of a frozen DNA encoder."}
    )
    lora_dna_encoder: bool = field(
        default=False, metadata={"help": "Train the DNA encoder by LoRA on its linear layers."}
    )
    lora_r: int = field(default=32, metadata={"help": "Rank of LoRA."})
    lora_alpha: int = field(default=64, metadata={"help": "Scale of LoRA."})
    lora_dropout: float = field(default=0.05, metadata={"help": "Dropout of LoRA."})

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
    """Which model to start from, and which parts of it to train.

    Give `model_name_or_path`; or `text_model` or `text_config`, together with `dna_model` or `dna_config`.
    """

    model_name_or_path: str | None = field(
        default=None, metadata={"help": "A fused checkpoint: a folder or an id on the Hub."}
    )
    model_revision: str = field(default="main", metadata={"help": "Branch, tag or commit of the fused checkpoint."})
    text_model: str | None = field(
        default=None, metadata={"help": "A causal language model to join with an encoder: a folder or a Hub id."}
    )
    text_config: dict | str | None = field(
        default=None,
        metadata={"help": "Configuration of a language model to start from random weights, with its `model_type`."},
    )
    text_vocab_size: int = field(
        default=1024, metadata={"help": "Entries of the tokenizer that is trained for a `text_config`."}
    )
    show_special_tokens: bool = field(
        default=False,
        metadata={"help": "Show the language model also the special tokens that the DNA tokenizer adds, as <cls>."},
    )
    projector_type: str | None = field(
        default=None,
        metadata={
            "help": "`linear` (default) is one layer, `mlp` two; `pooled` takes means of neighbours away from the "
            "variant; `resampler` makes a fixed number of placeholders of a sequence.",
            "choices": ["linear", "mlp", "pooled", "resampler"],
        },
    )
    projector_pool_size: int = field(default=8, metadata={"help": "Neighbours that `pooled` takes the mean of."})
    projector_full_resolution: int = field(
        default=16, metadata={"help": "Bases on each side of a variant that `pooled` keeps apart."}
    )
    projector_num_queries: int = field(default=64, metadata={"help": "Placeholders that `resampler` makes."})
    dtype: str = field(
        default="auto",
        metadata={
            "help": "Data type of the weights. `auto` is float32 if the language model is trained without LoRA, else "
            "that of the checkpoints; what joins the models and LoRA are always float32.",
            "choices": ["auto", "bfloat16", "float16", "float32"],
        },
    )
    freeze_language_model: bool = field(
        default=False, metadata={"help": "Keep the language model as it is. Not together with LoRA."}
    )
    use_peft: bool = field(default=True, metadata={"help": "Train the language model by LoRA."})
    lora_target_modules: list[str] | None = field(
        default=None,
        metadata={
            "help": "Names of the language model's layers to adapt, by default all its linear layers but the head. "
            "Layers of the same name in the DNA encoder are left alone."
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

    per_device_train_batch_size: int = field(default=1, metadata={"help": "Rows on each device at a time."})
    gradient_accumulation_steps: int = field(default=8, metadata={"help": "Batches to an optimizer step."})
    num_train_epochs: float = field(default=5, metadata={"help": "Passes over the rows."})
    learning_rate: float = field(default=5e-5, metadata={"help": "Peak of the learning rate."})
    weight_decay: float = field(default=0.01, metadata={"help": "Weight decay of AdamW."})
    lr_scheduler_type: str = field(default="cosine", metadata={"help": "Course of the learning rate."})
    warmup_steps: float = field(default=0.1, metadata={"help": "Steps of warm-up, or their share if below 1."})
    max_grad_norm: float = field(default=1.0, metadata={"help": "Longest gradient before it is clipped."})


@dataclass
class TrainingArguments(PublishedDefaults, SFTConfig):
    """TRL's `SFTConfig` with the published defaults.

    Settings with which SFTTrainer would tokenize the rows itself, and so drop the DNA, are refused.
    """

    max_length: int | None = field(default=None, metadata={"help": "Must stay unset: rows are not cut."})
    assistant_only_loss: bool = field(default=True, metadata={"help": "Loss on the assistant's turns only."})
    remove_unused_columns: bool = field(default=False, metadata={"help": "Must stay false: the collator reads them."})
    dataset_kwargs: dict | str | None = field(
        default_factory=lambda: {"skip_prepare_dataset": True}, metadata={"help": "Must skip TRL's own preparation."}
    )
    cache_dna_features: bool = field(
        default=False,
        metadata={"help": "Keep what a frozen DNA encoder makes of each window, and read it from disk after that."},
    )
    dna_cache_dir: str | None = field(
        default=None,
        metadata={"help": "Folder for it, which runs may share; by default `dna_features` in `output_dir`."},
    )
    dna_cache_gb: float = field(default=100, metadata={"help": "Most GB of files in that folder."})
    dataloader_num_workers: int | None = field(
        default=None, metadata={"help": "Processes that make batches: by default 2 on a GPU, and none elsewhere."}
    )

    def __post_init__(self):
        self.include_num_input_tokens_seen = "non_padding"  # what tokens per second are counted from
        workers = self.dataloader_num_workers
        self.dataloader_num_workers = workers or 0
        super().__post_init__()
        if workers is None and self.device.type == "cuda":
            self.dataloader_num_workers = 2
        wrong = {
            "packing": self.packing,
            "padding_free": self.padding_free,
            "max_length": self.max_length is not None,
            "assistant_only_loss": not self.assistant_only_loss,
            "remove_unused_columns": self.remove_unused_columns,
            "dataset_kwargs": (self.dataset_kwargs or {}).get("skip_prepare_dataset") is not True,
        }
        if self.trust_remote_code:
            raise ValueError("trust_remote_code: no code of a repository is run in training. See docs/encoders.md.")
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
