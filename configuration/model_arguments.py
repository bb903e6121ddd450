"""The settings of the models to start from, which training scripts share: each a flag and a line of a recipe."""

import json
from dataclasses import dataclass, field, fields


WAYS = "Choose one way to train the DNA encoder: all of it, its last layers, or LoRA on it."


def check_choices(arguments) -> None:
    """Raise `ValueError` if a value is not one of its field's choices: argparse checks flags, but not recipes."""
    for each in fields(arguments):
        choices, value = each.metadata.get("choices"), getattr(arguments, each.name)
        if choices and value is not None and value not in choices:
            raise ValueError(f"{each.name} is {value!r}, but must be one of {', '.join(choices)}.")


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
    load_in_4bit: bool = field(
        default=False,
        metadata={
            "help": "Load the language model in 4 bits and train it with LoRA (QLoRA), on one GPU or with DDP. Needs "
            "bitsandbytes."
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
        if self.load_in_4bit and not self.use_peft:
            raise ValueError("load_in_4bit needs use_peft: weights of 4 bits are not trained themselves.")
        if self.use_peft and self.freeze_language_model:
            raise ValueError(
                "freeze_language_model leaves nothing for LoRA to adapt: set use_peft to false, or do not freeze."
            )


__all__ = ["EncoderArguments", "ModelArguments", "check_choices"]
