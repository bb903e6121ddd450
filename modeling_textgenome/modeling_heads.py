"""The parts that heads on the states of a DNA encoder are made of."""

import torch
from torch import nn


class TextGenomeAttentionPooling(nn.Module):
    """One learnt query that attends to the states of a sequence."""

    def __init__(self, width: int, num_heads: int):
        super().__init__()
        self.query = nn.Parameter(torch.empty(1, 1, width))
        self.attention = nn.MultiheadAttention(width, num_heads, batch_first=True)

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`(sequences, length, width)` to `(sequences, width)`; `mask` is bool, the tokens to attend to."""
        query = self.query.expand(len(states), -1, -1)
        return self.attention(query, states, states, key_padding_mask=~mask, need_weights=False)[0][:, 0]


__all__ = ["TextGenomeAttentionPooling"]
