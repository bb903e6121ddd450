"""Configuration of the Evo2 encoder and language model."""

from typing import Literal

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig


# The published models end every seventh block, from the fourth on, with attention, and run through the three kinds of
# convolution in between: sizes 1b, 7b and 20b. The 40b model starts this pattern anew at block 32.
PATTERN = ("hcs", "hcm", "hcl", "hcs", "hcm", "hcl", "attention")


@strict
class Evo2Config(PreTrainedConfig):
    """Sizes of an Evo2 model, StripedHyena 2 (Nature 2026, doi 10.1038/s41586-026-10176-5).

    The defaults are the sizes of `evo2_1b_base`. Evo2 reads UTF-8 bytes: its token ids are `ord("A")` and so on.

    Args:
        vocab_size (`int`, *optional*, defaults to `512`): Number of tokens, of which DNA uses those of upper-case
            letters.
        hidden_size (`int`, *optional*, defaults to `1920`): Width of the hidden states.
        intermediate_size (`int`, *optional*, defaults to `5120`): Width of the feed-forward layers.
        num_hidden_layers (`int`, *optional*, defaults to `25`): Number of blocks.
        block_types (`list[str]`, *optional*): Kind of each block: `hcs`, `hcm` and `hcl` are Hyena convolutions with a
            short, a medium and a long filter, `attention` is causal attention. By default the pattern of the published
            1b, 7b and 20b.
        num_attention_heads (`int`, *optional*, defaults to `15`): Number of attention heads.
        rope_parameters (`dict`, *optional*): Rotary embeddings: `rope_theta`, and for the models of long context
            `rope_type: linear` with a `factor`, by which positions are divided.
        short_filter_length (`int`, *optional*, defaults to `3`): Taps of the convolution that comes before the gates
            of every Hyena block, at least 2.
        hcs_filter_length (`int`, *optional*, defaults to `7`): Taps of the short filters.
        hcs_filter_groups (`int`, *optional*, defaults to `128`): Number of different short filters. Neighbouring
            channels share one.
        hcm_filter_length (`int`, *optional*, defaults to `128`): Taps of the medium filters.
        hcm_filter_groups (`int`, *optional*, defaults to `128`): Number of different medium filters.
        state_size (`int`, *optional*, defaults to `16`): Number of decaying exponentials that a long filter is the sum
            of.
        projection_quantization (`str`, *optional*, defaults to `"none"`): `fp8_e4m3` rounds weights and inputs of the
            projections before the convolutions to 8-bit floats, as `evo2_1b_base` and the 20b and 40b models were
            trained. Needs no GPU of a special kind.
        projection_scales (`list[list[float | int] | None]`, *optional*): For `fp8_e4m3`, of each block the factors of
            input and weight with which the model was trained, None for attention. What exceeds 448 after scaling is
            cut off, as it was in training. By default each input state and each weight is scaled to fit.
        max_position_embeddings (`int`, *optional*, defaults to `8192`): The length in tokens that the model was
            trained on.
        rms_norm_eps (`float` or `int`, *optional*, defaults to `1e-06`): Epsilon of the norms. It is added to the
            root, not to what is inside.
        initializer_range (`float` or `int`, *optional*, defaults to `0.02`): Standard deviation of the initial
            weights.
    """

    model_type = "evo2"
    keys_to_ignore_at_inference = ["past_key_values"]
    # For the cache of transformers: a Hyena block remembers the tail of the projections and that of the gated values.
    number_of_conv_states = 2

    vocab_size: int = 512
    hidden_size: int = 1920
    intermediate_size: int = 5120
    num_hidden_layers: int = 25
    block_types: list[str] | None = None
    num_attention_heads: int = 15
    rope_parameters: dict | None = None
    short_filter_length: int = 3
    hcs_filter_length: int = 7
    hcs_filter_groups: int = 128
    hcm_filter_length: int = 128
    hcm_filter_groups: int = 128
    state_size: int = 16
    projection_quantization: Literal["fp8_e4m3", "none"] = "none"
    projection_scales: list[list[float | int] | None] | None = None
    max_position_embeddings: int = 8192
    rms_norm_eps: float | int = 1e-6
    initializer_range: float | int = 0.02
    use_cache: bool = True
    tie_word_embeddings: bool = True
    pad_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 0

    def __post_init__(self, **kwargs):
        if self.block_types is None:
            # Block 3 is attention, as the last of the pattern is.
            self.block_types = [PATTERN[(block + 3) % len(PATTERN)] for block in range(self.num_hidden_layers)]
        super().__post_init__(**kwargs)
        self._check_blocks()
        for name in ("num_attention_heads", "hcs_filter_groups", "hcm_filter_groups"):
            if self.hidden_size % getattr(self, name):
                raise ValueError(
                    f"Field 'hidden_size' is {self.hidden_size}, which is not a multiple of {name} = "
                    f"{getattr(self, name)}."
                )
        rope_type = self.rope_parameters["rope_type"]
        if rope_type not in ("default", "linear"):
            raise ValueError(f"Field 'rope_parameters' has rope_type {rope_type!r}: choose default or linear.")

    def _check_blocks(self) -> None:
        unknown = sorted(set(self.block_types) - set(PATTERN))
        if unknown:
            raise ValueError(f"Field 'block_types' has {', '.join(unknown)}: choose from {', '.join(PATTERN[3:])}.")
        for name in ("block_types", "projection_scales"):
            values = getattr(self, name)
            if values is not None and len(values) != self.num_hidden_layers:
                raise ValueError(
                    f"Field '{name}' has {len(values)} entries, but num_hidden_layers is {self.num_hidden_layers}."
                )

    @property
    def layer_types(self) -> list[str]:
        """What the cache of transformers keeps of each block."""
        kinds = {"attention": "full_attention", "hcl": "linear_attention"}
        return [kinds.get(block, "conv") for block in self.block_types]


AutoConfig.register(Evo2Config.model_type, Evo2Config, exist_ok=True)

__all__ = ["Evo2Config"]
