"""The parts that heads on the states of a DNA encoder are made of."""

import torch
from torch import nn
from torch.nn import functional as F


class TextGenomeAttention(nn.MultiheadAttention):
    """Attention that calls its last layer, the weights of which may be quantized, or on disk until then."""

    def forward(self, query: torch.Tensor, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`(sequences, queries, width)` and `(sequences, length, width)` to `(sequences, queries, width)`."""
        parts = zip((query, states, states), self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3))
        heads = [F.linear(*part).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for part in parts]
        attended = F.scaled_dot_product_attention(*heads, attn_mask=mask[:, None, None])
        return self.out_proj(attended.transpose(1, 2).flatten(2))


class TextGenomeAttentionPooling(nn.Module):
    """One learnt query that attends to the states of a sequence."""

    def __init__(self, width: int, num_heads: int):
        super().__init__()
        self.query = nn.Parameter(torch.empty(1, 1, width))
        self.attention = TextGenomeAttention(width, num_heads, batch_first=True)

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`(sequences, length, width)` to `(sequences, width)`; `mask` is bool, the tokens to attend to."""
        query = self.query.expand(len(states), -1, -1)
        return self.attention(query, states, mask)[:, 0]


__all__ = ["TextGenomeAttentionPooling"]
