"""Configuration of the Caduceus encoder."""

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, MambaConfig, PreTrainedConfig


# What the checkpoints call the settings of a Mamba mixer, and what transformers calls them. The defaults are the same.
MAMBA_SETTINGS = {
    "d_state": "state_size",
    "d_conv": "conv_kernel",
    "expand": "expand",
    "dt_rank": "time_step_rank",
    "dt_min": "time_step_min",
    "dt_max": "time_step_max",
    "dt_init": "time_step_init_scheme",
    "dt_scale": "time_step_scale",
    "dt_init_floor": "time_step_floor",
    "conv_bias": "use_conv_bias",
    "bias": "use_bias",
}
# Settings of the network that are the same in all published Caduceus-Ph.
FIXED = {
    "rms_norm": True,
    "bidirectional": True,
    "bidirectional_strategy": "add",
    "bidirectional_weight_tie": True,
    "rcps": False,
}
# A and T, C and G of the tokenizer, by their ids.
COMPLEMENTS = {7: 10, 8: 9, 9: 8, 10: 7}


@strict
class CaduceusConfig(PreTrainedConfig):
    """Sizes of a Caduceus-Ph encoder (arXiv 2403.03234).

    The fields bear the names of the `kuleshov-group/caduceus-ph_*` checkpoints, the defaults are the values of
    `caduceus-ph_seqlen-131k_d_model-256_n_layer-16`. `average_strands` is a field of this package.

    Args:
        vocab_size (`int`, *optional*, defaults to `12`): Number of DNA tokens; the embedding is padded up to a
            multiple of `pad_vocab_size_multiple`.
        d_model (`int`, *optional*, defaults to `256`): Width of the hidden states, also readable as `hidden_size`.
        n_layer (`int`, *optional*, defaults to `16`): Number of blocks, also readable as `num_hidden_layers`.
        ssm_cfg (`dict`, *optional*): Settings of the Mamba mixers, under the names of `mamba_ssm`; None for its
            defaults.
        norm_epsilon (`float` or `int`, *optional*, defaults to `1e-05`): Epsilon of the norms.
        residual_in_fp32 (`bool`, *optional*, defaults to `True`): Whether the residual stream is float32 in every
            precision.
        rms_norm (`bool`, *optional*, defaults to `True`): True, `bidirectional`: True, `bidirectional_strategy`:
            "add", `bidirectional_weight_tie`: True and `rcps`: False are what Caduceus-Ph is. No other value is
            supported.
        complement_map (`dict`, *optional*): Ids of tokens and of their complements. A token that is not in it is its
            own. By default those of the published tokenizer, the characters of HyenaDNA.
        average_strands (`bool`, *optional*, defaults to `True`): Whether the states are those of the sequence,
            averaged with those of its reverse complement. Caduceus-Ph was trained on both strands for it. Predictions
            of masked tokens are never averaged.
        initializer_range (`float` or `int`, *optional*, defaults to `0.02`): Standard deviation of the initial
            embedding.
        tie_word_embeddings (`bool`, *optional*, defaults to `True`): Whether the head shares its weights with the
            embedding.

    Raises:
        ValueError: If it is another kind of Caduceus, or a setting in `ssm_cfg` is unknown.
    """

    model_type = "caduceus"
    attribute_map = {"hidden_size": "d_model", "num_hidden_layers": "n_layer"}

    vocab_size: int = 12
    d_model: int = 256
    n_layer: int = 16
    ssm_cfg: dict | None = None
    norm_epsilon: float | int = 1e-5
    residual_in_fp32: bool = True
    rms_norm: bool = True
    bidirectional: bool = True
    bidirectional_strategy: str | None = "add"
    bidirectional_weight_tie: bool = True
    rcps: bool = False
    complement_map: dict | None = None
    average_strands: bool = True
    initializer_range: float | int = 0.02
    pad_vocab_size_multiple: int = 8
    pad_token_id: int | None = 4
    tie_word_embeddings: bool = True

    def __post_init__(self, **kwargs):
        for name, value in FIXED.items():
            if getattr(self, name) != value:
                raise ValueError(
                    f"Field {name!r} is {getattr(self, name)!r}, but only Caduceus-Ph is supported, in which it is "
                    f"{value!r}."
                )
        unknown = set(self.ssm_cfg or {}) - {*MAMBA_SETTINGS, "use_fast_path"}
        if unknown:
            raise ValueError(f"Field 'ssm_cfg' has unknown settings: {', '.join(sorted(unknown))}.")
        complements = COMPLEMENTS if self.complement_map is None else self.complement_map
        self.complement_map = {int(token): other for token, other in complements.items()}  # JSON has strings for keys
        super().__post_init__(**kwargs)

    @property
    def num_tokens(self) -> int:
        """Rows of the embedding."""
        return self.vocab_size + -self.vocab_size % self.pad_vocab_size_multiple

    @property
    def mamba_config(self) -> MambaConfig:
        """What a Mamba mixer of transformers reads."""
        settings = {
            MAMBA_SETTINGS[name]: value for name, value in (self.ssm_cfg or {}).items() if name in MAMBA_SETTINGS
        }
        return MambaConfig(hidden_size=self.d_model, num_hidden_layers=self.n_layer, **settings)


AutoConfig.register(CaduceusConfig.model_type, CaduceusConfig, exist_ok=True)

__all__ = ["CaduceusConfig"]
