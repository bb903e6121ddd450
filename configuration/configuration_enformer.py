"""Configuration of the Enformer encoder."""

from dataclasses import field

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig


@strict
class EnformerConfig(PreTrainedConfig):
    """Sizes of Enformer (Avsec et al., Nature Methods 18:1196, 2021).

    The fields bear the names of `EleutherAI/enformer-official-rough`, the defaults are its values, but for
    `target_length`: that file crops the predicted tracks to 896 states.

    Args:
        dim (`int`, *optional*, defaults to `1536`): Width of the transformer. The convolutions start at half of it; a
            state has twice as many channels.
        depth (`int`, *optional*, defaults to `11`): Number of transformer layers, also readable as
            `num_hidden_layers`.
        heads (`int`, *optional*, defaults to `8`): Attention heads, also readable as `num_attention_heads`. Each has
            `dim / heads` value channels and reads as many position features, so that `dim` must be a multiple of six
            times `heads`.
        attn_dim_key (`int`, *optional*, defaults to `64`): Key channels of a head.
        num_downsamples (`int`, *optional*, defaults to `7`): How often the sequence is halved before the transformer.
            At least 3: the stem halves it once, and the tower after it widens from `dim / 2` to `dim` in its first and
            last layer.
        dim_divisible_by (`int`, *optional*, defaults to `128`): The widths of the convolutions are rounded to
            multiples of it.
        output_heads (`dict[str, int]`, *optional*): Number of tracks for each species, of `EnformerForTrackPrediction`
            only.
        target_length (`int`, *optional*): How many states in the middle of a sequence `EnformerForTrackPrediction`
            predicts tracks for; None or -1 for all. `EnformerModel` never crops.
        use_tf_gamma (`bool`, *optional*, defaults to `True`): How the gamma position features are normalised. True:
            each feature over all distances, as the published network was trained. False: each distance over all
            features, as in networks that were trained by enformer-pytorch without its option of the same name.
        dropout_rate (`float` or `int`, *optional*, defaults to `0.4`): Dropout of the transformer; an eighth of it
            before the output.
        attn_dropout (`float` or `int`, *optional*, defaults to `0.05`): Dropout on the attention weights.
        pos_dropout (`float` or `int`, *optional*, defaults to `0.01`): Dropout on the position features.
        max_position_embeddings (`int`, *optional*, defaults to `196608`): Longest input in bases. The position
            features are scaled to it, whatever the length of the input.
        vocab_size (`int`, *optional*, defaults to `7`): Number of DNA tokens. Ids 0 to 3 are A, C, G and T; all others
            read as no base.
    """

    model_type = "enformer"
    attribute_map = {"num_hidden_layers": "depth", "num_attention_heads": "heads"}

    dim: int = 1536
    depth: int = 11
    heads: int = 8
    attn_dim_key: int = 64
    num_downsamples: int = 7
    dim_divisible_by: int = 128
    output_heads: dict[str, int] = field(default_factory=lambda: {"human": 5313, "mouse": 1643})
    target_length: int | None = None
    use_tf_gamma: bool = True
    dropout_rate: float | int = 0.4
    attn_dropout: float | int = 0.05
    pos_dropout: float | int = 0.01
    max_position_embeddings: int = 196_608
    vocab_size: int = 7
    pad_token_id: int | None = 5

    def __post_init__(self, **kwargs):
        if self.dim % (6 * self.heads):
            raise ValueError(
                f"Field 'dim' is {self.dim}, but must be a multiple of 6 x 'heads' = {6 * self.heads}: each head "
                "reads three kinds of position features, with and without the sign of the distance."
            )
        if self.num_downsamples < 3:
            raise ValueError(
                f"Field 'num_downsamples' is {self.num_downsamples}, but must be at least 3: the stem and two "
                "layers of convolutions halve the sequence before its width is 'dim'."
            )
        super().__post_init__(**kwargs)

    @property
    def hidden_size(self) -> int:
        """Width of the states."""
        return 2 * self.dim

    @property
    def bases_per_state(self) -> int:
        """How many bases a state covers."""
        return 2**self.num_downsamples


AutoConfig.register(EnformerConfig.model_type, EnformerConfig, exist_ok=True)

__all__ = ["EnformerConfig"]
