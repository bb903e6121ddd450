"""Configuration of the Borzoi encoder."""

from dataclasses import field

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig


@strict
class BorzoiConfig(PreTrainedConfig):
    """Sizes of Borzoi (Linder et al., Nature Genetics 57:949, 2025).

    The fields that `johahi/borzoi-replicate-*` has bear its names, the defaults are its values, but for
    `return_center_bins_only`: those files crop the predicted tracks to 6,144 states.

    Args:
        conv_dims (`list[int]`, *optional*): Widths of the convolutions before the transformer. The sequence is halved
            between them.
        dim (`int`, *optional*, defaults to `1536`): Width of the transformer, and of the convolutions that follow.
        hidden_size (`int`, *optional*, defaults to `1920`): Width of the states.
        depth (`int`, *optional*, defaults to `8`): Number of transformer layers, also readable as `num_hidden_layers`.
        heads (`int`, *optional*, defaults to `8`): Attention heads, also readable as `num_attention_heads`.
        attn_dim_key (`int`, *optional*, defaults to `64`): Key channels of a head.
        attn_dim_value (`int`, *optional*, defaults to `192`): Value channels of a head.
        num_rel_pos_features (`int`, *optional*, defaults to `32`): Position features that a head reads. Even.
        return_center_bins_only (`bool`, *optional*, defaults to `False`): Whether `BorzoiForTrackPrediction` predicts
            tracks only for the `bins_to_return` states in the middle of a sequence. `BorzoiModel` never crops.
        bins_to_return (`int`, *optional*, defaults to `6144`): See `return_center_bins_only`.
        enable_human_head (`bool`, *optional*, defaults to `True`): Whether `BorzoiForTrackPrediction` has the head of
            human tracks.
        enable_mouse_head (`bool`, *optional*, defaults to `False`): Whether it has the head of mouse tracks.
        num_human_tracks (`int`, *optional*, defaults to `7611`): Number of human tracks.
        num_mouse_tracks (`int`, *optional*, defaults to `2608`): Number of mouse tracks.
        dropout_rate (`float` or `int`, *optional*, defaults to `0.2`): Dropout of the transformer.
        attn_dropout (`float` or `int`, *optional*, defaults to `0.05`): Dropout on the attention weights.
        pos_dropout (`float` or `int`, *optional*, defaults to `0.01`): Dropout on the position features.
        max_position_embeddings (`int`, *optional*, defaults to `524288`): Longest input in bases. The position
            features are scaled to it, whatever the length of the input.
        vocab_size (`int`, *optional*, defaults to `7`): Number of DNA tokens. Ids 0 to 3 are A, C, G and T; all others
            read as no base.
    """

    model_type = "borzoi"
    attribute_map = {"num_hidden_layers": "depth", "num_attention_heads": "heads"}

    conv_dims: list[int] = field(default_factory=lambda: [512, 608, 736, 896, 1056, 1280])
    dim: int = 1536
    hidden_size: int = 1920
    depth: int = 8
    heads: int = 8
    attn_dim_key: int = 64
    attn_dim_value: int = 192
    num_rel_pos_features: int = 32
    return_center_bins_only: bool = False
    bins_to_return: int = 6144
    enable_human_head: bool = True
    enable_mouse_head: bool = False
    num_human_tracks: int = 7611
    num_mouse_tracks: int = 2608
    dropout_rate: float | int = 0.2
    attn_dropout: float | int = 0.05
    pos_dropout: float | int = 0.01
    max_position_embeddings: int = 524_288
    vocab_size: int = 7
    pad_token_id: int | None = 5

    def __post_init__(self, **kwargs):
        if kwargs.get("flashed"):
            raise ValueError(
                "Field 'flashed' is true: this is Flashzoi, whose attention has rotary positions. Choose a Borzoi "
                "with relative positions, such as johahi/borzoi-replicate-0."
            )
        super().__post_init__(**kwargs)

    @property
    def bases_per_state(self) -> int:
        """How many bases a state covers."""
        return 2 ** (len(self.conv_dims) - 1)

    @property
    def output_heads(self) -> dict[str, int]:
        """Number of tracks for each species."""
        heads = {"human": self.num_human_tracks} if self.enable_human_head else {}
        return heads | ({"mouse": self.num_mouse_tracks} if self.enable_mouse_head else {})

    @property
    def target_length(self) -> int | None:
        """How many states in the middle of a sequence `BorzoiForTrackPrediction` predicts tracks for, None for all."""
        return self.bins_to_return if self.return_center_bins_only else None


AutoConfig.register(BorzoiConfig.model_type, BorzoiConfig, exist_ok=True)

__all__ = ["BorzoiConfig"]
