"""What Enformer and Borzoi share: one-hot rows, attention with relative positions, and the tracks they predict."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.utils import ModelOutput


@dataclass
class TrackPredictionOutput(ModelOutput):
    """Tracks along a sequence.

    Args:
        tracks: For each species `(batch, states, tracks)`, float32, not negative.
        last_hidden_state: `(batch, states, hidden_size)`, what they are predicted from.
    """

    tracks: dict[str, torch.FloatTensor] | None = None
    last_hidden_state: torch.FloatTensor | None = None


class Residual(nn.Module):
    def __init__(self, fn: nn.Module):
        super().__init__()
        self.fn = fn

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return hidden_states + self.fn(hidden_states)


def zero_outside(hidden_states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Set to zero what lies outside the rows, so that a convolution meets what it meets at the end of a single row.

    Args:
        hidden_states: `(batch, channels, length)`.
        mask: `(batch, bins)`, bool, the bins of each row; `length` is a multiple of `bins`. None for rows of equal
            length.
    """
    if mask is None:
        return hidden_states
    mask = mask.repeat_interleave(hidden_states.shape[-1] // mask.shape[-1], dim=-1)
    return hidden_states.masked_fill(~mask[:, None], 0)


def relative_distances(length: int, device: torch.device) -> torch.Tensor:
    """`(2 * length - 1,)`, float32: from `1 - length` to `length - 1`."""
    return torch.arange(1 - length, length, device=device, dtype=torch.float32)


def with_sign(features: torch.Tensor, distances: torch.Tensor) -> torch.Tensor:
    """Position features of both directions alike, and the same with the sign of the distance."""
    return torch.cat([features, distances.sign()[:, None] * features], dim=-1)


def relative_shift(logits: torch.Tensor) -> torch.Tensor:
    """From logits of each query and each distance to those of each query and each key.

    Args:
        logits: `(..., length, 2 * length - 1)`, contiguous. Distance `d` has column `d + length - 1`.

    Returns:
        `(..., length, length)`, contiguous: for query `i` and key `j` the logit of distance `j - i`.
    """
    length = logits.shape[-2]
    # One row further down, the distances that are needed begin one column further left.
    rows = logits.flatten(-2)[..., length - 1 :].unfold(-1, length, max(2 * length - 2, 1))
    return rows.contiguous()


class RelativeAttention(nn.Module):
    """Attention with a term for the content and one for the distance of a key (Transformer-XL, arXiv 1901.02860)."""

    def __init__(
        self,
        width: int,
        num_heads: int,
        key_width: int,
        value_width: int,
        num_positions: int,
        attention_dropout: float,
        position_dropout: float,
    ):
        super().__init__()
        self.num_heads, self.scale, self.attention_dropout = num_heads, key_width**-0.5, attention_dropout
        self.to_q = nn.Linear(width, num_heads * key_width, bias=False)
        self.to_k = nn.Linear(width, num_heads * key_width, bias=False)
        self.to_v = nn.Linear(width, num_heads * value_width, bias=False)
        self.to_out = nn.Linear(num_heads * value_width, width)
        self.to_rel_k = nn.Linear(num_positions, num_heads * key_width, bias=False)
        self.rel_content_bias = nn.Parameter(torch.empty(1, num_heads, 1, key_width))
        self.rel_pos_bias = nn.Parameter(torch.empty(1, num_heads, 1, key_width))
        self.pos_dropout = nn.Dropout(position_dropout)

    def split_heads(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return hidden_states.unflatten(-1, (self.num_heads, -1)).transpose(-2, -3)

    def forward(self, hidden_states: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Attend to all bins of the same row.

        Args:
            hidden_states: `(batch, bins, width)`.
            positions: `(2 * bins - 1, num_positions)`, the features of each distance.
            mask: `(batch, bins)`, bool, the bins to attend to, or None for all.
        """
        query = self.split_heads(self.to_q(hidden_states)) * self.scale
        key, value = (self.split_heads(layer(hidden_states)) for layer in (self.to_k, self.to_v))
        distance_key = self.split_heads(self.to_rel_k(self.pos_dropout(positions)))
        bias = relative_shift((query + self.rel_pos_bias) @ distance_key.transpose(-1, -2))
        if mask is not None:
            bias = bias.masked_fill(~mask[:, None, None], float("-inf"))
        attended = F.scaled_dot_product_attention(
            query + self.rel_content_bias,
            key,
            value,
            attn_mask=bias,
            dropout_p=self.attention_dropout if self.training else 0.0,
            scale=1.0,
        )
        return self.to_out(attended.transpose(1, 2).flatten(2))


class AttentionResidual(nn.Module):
    def __init__(self, width: int, attention: RelativeAttention, eps: float, dropout: float):
        super().__init__()
        self.fn = nn.Sequential(nn.LayerNorm(width, eps=eps), attention, nn.Dropout(dropout))

    def forward(self, hidden_states: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        norm, attention, dropout = self.fn
        return hidden_states + dropout(attention(norm(hidden_states), positions, mask))


class RelativeTransformerLayer(GradientCheckpointingLayer, nn.Sequential):
    """A layer of the transformer. Its parts bear the numbers of the published checkpoints."""

    def __init__(self, width: int, attention: RelativeAttention, eps: float, dropout: float):
        feed_forward = nn.Sequential(
            nn.LayerNorm(width, eps=eps),
            nn.Linear(width, 2 * width),
            nn.Dropout(dropout),
            nn.ReLU(),
            nn.Linear(2 * width, width),
            nn.Dropout(dropout),
        )
        super().__init__(AttentionResidual(width, attention, eps, dropout), Residual(feed_forward))

    def forward(self, hidden_states: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        attention, feed_forward = self
        return feed_forward(attention(hidden_states, positions, mask))


class TrackEncoderPreTrainedModel(PreTrainedModel):
    """Base of encoders that read one-hot rows of bases and turn them into fewer, wider states."""

    supports_gradient_checkpointing = True
    _no_split_modules = ["RelativeTransformerLayer"]
    # The attention here is its own, so whichever implementation the language model runs with is fine.
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = _supports_attention_backend = True

    @torch.no_grad()
    def _init_weights(self, module):
        if isinstance(module, RelativeAttention):
            init.normal_(module.rel_content_bias)
            init.normal_(module.rel_pos_bias)
            init.zeros_(module.to_out.weight)  # a layer starts as one without attention
        elif isinstance(module, (nn.Linear, nn.Conv1d)):
            # By the number of inputs, or depth-wise convolutions would let next to nothing through.
            init.kaiming_normal_(module.weight, nonlinearity="relu" if isinstance(module, nn.Conv1d) else "linear")
            if module.bias is not None:
                init.zeros_(module.bias)
        else:
            super()._init_weights(module)

    def one_hot_rows(
        self,
        input_ids: torch.LongTensor | None,
        attention_mask: torch.Tensor | None,
        inputs_embeds: torch.Tensor | None,
        multiple: int,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The input of the first convolution, with zeros on the right up to a multiple of `multiple` bases.

        Returns:
            `(batch, 4, length)`, zero for N and padding, and the mask `(batch, length / multiple)` of the bins of
            each row, bool, or None if all rows fill them.

        Raises:
            ValueError: If there are more bases than `config.max_position_embeddings`, if a row is padded on the left,
                or if it is all padding.
        """
        if inputs_embeds is None:
            bases = torch.arange(4, device=input_ids.device)
            inputs_embeds = input_ids[..., None] == bases
        length = inputs_embeds.shape[1]
        if length > self.config.max_position_embeddings:
            raise ValueError(
                f"The DNA has {length} bases, but this {type(self).__name__} reads at most max_position_embeddings = "
                f"{self.config.max_position_embeddings}."
            )
        mask = None
        if attention_mask is not None:
            mask = attention_mask.bool()
            wrong = ~mask[:, 0] | (mask[:, 1:] & ~mask[:, :-1]).any(-1)
            if wrong.any():
                raise ValueError(
                    f"Row {int(wrong.nonzero()[0])} of the batch is padded on the left or empty: "
                    f"{type(self).__name__} reads rows that start with a base and are padded on the right."
                )
            inputs_embeds = inputs_embeds * mask[..., None]
            mask = mask[:, ::multiple]
            mask = None if mask.all() else mask
        one_hot = inputs_embeds.transpose(1, 2).to(self.dtype)
        return F.pad(one_hot, (0, -length % multiple)), mask


def center(states: torch.Tensor, target_length: int | None, attention_mask: torch.Tensor | None) -> torch.Tensor:
    """The `target_length` states in the middle of each row, or all of them for None or -1.

    Args:
        states: `(batch, states, width)`.
        target_length: How many to take.
        attention_mask: `(batch, bases)`.

    Raises:
        ValueError: If there are fewer states than that, or if rows have padding and thus no common middle.
    """
    if target_length is None or target_length == -1:
        return states
    start = (states.shape[1] - target_length) // 2
    if start < 0:
        raise ValueError(f"The DNA has {states.shape[1]} states, but the configuration asks for {target_length}.")
    if attention_mask is not None and not attention_mask.all():
        raise ValueError(f"Rows that are cropped to {target_length} states must be of equal length, without padding.")
    return states[:, start : start + target_length]


def predict(head: nn.Module, states: torch.Tensor) -> torch.Tensor:
    """Tracks from states, in float32 also under autocast."""
    with torch.autocast(states.device.type, enabled=False):
        return F.softplus(head(states.to(next(head.parameters()).dtype)).float())


__all__ = [
    "AttentionResidual",
    "RelativeAttention",
    "RelativeTransformerLayer",
    "Residual",
    "TrackEncoderPreTrainedModel",
    "TrackPredictionOutput",
    "center",
    "predict",
    "relative_distances",
    "relative_shift",
    "with_sign",
    "zero_outside",
]
