"""Configuration of the fused model: a DNA encoder, a projector and a language model."""

from typing import Literal

from huggingface_hub.dataclasses import strict
from transformers import CONFIG_MAPPING, AutoConfig, PreTrainedConfig


def build_sub_config(config: dict | PreTrainedConfig | None, default_model_type: str) -> PreTrainedConfig:
    """Turn the content of a `config.json` into a config object of this package or of transformers, by its type.

    Remote code that a checkpoint names is not used.

    Raises:
        ValueError: If neither has models of this type.
    """
    if isinstance(config, PreTrainedConfig):
        return config
    values = dict(config or {})
    model_type = values.pop("model_type", default_model_type)
    if model_type not in CONFIG_MAPPING:
        raise ValueError(f"Models of the type {model_type!r} need code that is not of transformers or textgenome.")
    return AutoConfig.for_model(model_type, **values)


def bases_per_state(dna_config: PreTrainedConfig) -> int:
    """How many tokens, each a base, a state of a DNA encoder covers; 1 where there is a state for each token."""
    return getattr(dna_config, "bases_per_state", 1)


def build_dna_config(config: dict | PreTrainedConfig | None) -> PreTrainedConfig:
    """The configuration of the DNA encoder in that of a model."""
    config = build_sub_config(config, "hyenadna")
    # A decoder that serves as an encoder must not fill a cache on every pass.
    config.use_cache = False
    return config


class DNAFeaturesMixin:
    """For a configuration with a `dna_config` and the fields that say which features of the encoder are used."""

    @property
    def dna_feature_size(self) -> int:
        """Width of the features."""
        return self.dna_config.hidden_size * (2 if self.both_strands == "concat" else 1)

    def check_dna_features(self) -> None:
        """Raise ValueError where the fields do not suit the encoder or each other."""
        encoder, layer, module = self.dna_config, self.dna_feature_layer, self.dna_feature_module
        layers, is_last = encoder.num_hidden_layers, layer in (-1, encoder.num_hidden_layers)
        averages = getattr(encoder, "average_strands", False)
        if not -layers - 1 <= layer <= layers:
            raise ValueError(
                f"Field 'dna_feature_layer' is {layer}, but the DNA encoder has {layers} layers: choose from "
                f"{-layers - 1} to {layers}."
            )
        if module is not None and not is_last:
            raise ValueError(
                f"Field 'dna_feature_module' is {module!r} and 'dna_feature_layer' is {layer}: choose one of them, "
                "and leave the other at its default."
            )
        if bases_per_state(encoder) > 1 and not (is_last and module is None):
            name, value = ("dna_feature_layer", layer) if module is None else ("dna_feature_module", repr(module))
            raise ValueError(
                f"Field {name!r} is {value}, but only the last states of a DNA encoder of type {encoder.model_type} "
                f"are {encoder.hidden_size} wide and cover {encoder.bases_per_state} bases: leave it at its default."
            )
        if averages and (module is not None or self.both_strands != "none"):
            name = "both_strands" if module is None else "dna_feature_module"
            raise ValueError(
                f"Field {name!r} is {getattr(self, name)!r}, but this DNA encoder averages both strands by itself: "
                "leave it at its default, or set average_strands to false in 'dna_config'."
            )
        self._check_strands()

    def _check_strands(self) -> None:
        if self.dna_complement_map is not None:
            # JSON has strings for keys.
            self.dna_complement_map = {int(token): other for token, other in self.dna_complement_map.items()}
        elif self.both_strands != "none":
            raise ValueError(
                f"Field 'both_strands' is {self.both_strands!r}, which needs 'dna_complement_map', the token of each "
                "base and that of its complement: textgenome.processing.complement_map(dna_tokenizer) makes it."
            )


@strict
class TextGenomeConfig(DNAFeaturesMixin, PreTrainedConfig):
    """Configuration of `TextGenomeForConditionalGeneration`.

    A field of the wrong type raises an error that names the field.

    Args:
        text_config (`dict` or `PreTrainedConfig`, *optional*): Configuration of the language model: any causal
            language model of transformers, default `qwen3`.
        dna_config (`dict` or `PreTrainedConfig`, *optional*): Configuration of the DNA encoder: `hyenadna` (the
            default), or any type that `AutoModel` builds.
        projector_type (`str`, *optional*, defaults to `"linear"`): `linear` is one layer, as in BioReason (arXiv
            2505.23579); `mlp` is two with an activation; `pooled` is the mean over neighbours and one layer;
            `resampler` is learnt queries that attend to states.
        projector_hidden_act (`str`, *optional*, defaults to `"gelu"`): Activation of the `mlp` projector.
        projector_bias (`bool`, *optional*, defaults to `True`): Whether the layers of the projector have a bias.
        projector_pool_size (`int`, *optional*, defaults to `8`): Number of neighbouring tokens that the `pooled`
            projector averages.
        projector_full_resolution (`int`, *optional*, defaults to `16`): Bases on each side of a variant within which
            it keeps every token instead.
        projector_num_queries (`int`, *optional*, defaults to `64`): Number of placeholders per sequence of the
            `resampler`.
        dna_token_id (`int`, *optional*): Id of the placeholder token that DNA features replace in the prompt.
        dna_start_token_id (`int`, *optional*): Id of the token before each DNA sequence. Its embedding is learnt with
            the projector.
        dna_end_token_id (`int`, *optional*): Id of the token after each DNA sequence. Its embedding is learnt with the
            projector.
        dna_feature_layer (`int`, *optional*, defaults to `-1`): Hidden state of the encoder that feeds the projector,
            as an index into its `hidden_states` (0 is the embedding). The default -1 is the last one, after the final
            norm.
        dna_feature_module (`str`, *optional*): Name of a module of the encoder whose output feeds the projector
            instead of a layer, such as `blocks.20.mlp.l3`: a branch of Evo2 before it is added to the residual stream.
        both_strands (`str`, *optional*, defaults to `"none"`): Also encode the reverse complement: `average` takes the
            mean of the features of both strands, aligned, and `concat` concatenates them. For encoders with a token
            per base, or states of several bases, that see no right context or were trained on both strands.
        dna_complement_map (`dict`, *optional*): The token id of each base, and that of its complement, for
            `both_strands`.
        dna_hidden_token_ids (`list[int]`, *optional*): Ids of DNA tokens that the encoder reads and the language model
            is not shown, such as `<cls>`.
        initializer_range (`float` or `int`, *optional*, defaults to `0.02`): Standard deviation of the initial weights
            of the projector and the marker embeddings.

    Example:

        config = TextGenomeConfig(text_config={"model_type": "qwen3"}, dna_config={"model_type": "hyenadna"})
        config.dna_config.d_model  # the width of the encoder
    """

    model_type = "textgenome"
    sub_configs = {"text_config": AutoConfig, "dna_config": AutoConfig}

    text_config: dict | PreTrainedConfig | None = None
    dna_config: dict | PreTrainedConfig | None = None
    projector_type: Literal["linear", "mlp", "pooled", "resampler"] = "linear"
    projector_hidden_act: str = "gelu"
    projector_bias: bool = True
    projector_pool_size: int = 8
    projector_full_resolution: int = 16
    projector_num_queries: int = 64
    dna_token_id: int | None = None
    dna_start_token_id: int | None = None
    dna_end_token_id: int | None = None
    dna_feature_layer: int = -1
    dna_feature_module: str | None = None
    both_strands: Literal["none", "average", "concat"] = "none"
    dna_complement_map: dict | None = None
    dna_hidden_token_ids: list[int] | None = None
    initializer_range: float | int = 0.02
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs):
        self.text_config = build_sub_config(self.text_config, "qwen3")
        self.dna_config = build_dna_config(self.dna_config)
        self.check_dna_features()
        super().__post_init__(**kwargs)
        # The language model decides whether its head is tied; transformers reads the answer from the top level.
        self.tie_word_embeddings = bool(self.text_config.tie_word_embeddings)


def max_dna_tokens(config: PreTrainedConfig) -> int | None:
    """The longest input of a DNA encoder in tokens, or None if its configuration does not tell."""
    length = getattr(config, "max_position_embeddings", None)
    if config.model_type == "esm" and config.position_embedding_type == "absolute":
        return length - config.pad_token_id - 1  # positions are counted from after the padding id
    return length


__all__ = [
    "DNAFeaturesMixin",
    "TextGenomeConfig",
    "bases_per_state",
    "build_dna_config",
    "build_sub_config",
    "max_dna_tokens",
]
