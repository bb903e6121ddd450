"""Projectors: from the states of the DNA encoder to features in the embedding space of the language model.

Each takes `states` of shape `(sequences, length, dna_hidden_size)` and a boolean `mask` of shape `(sequences, length)`
of the states to show, and returns `features` of shape `(sequences, placeholders, hidden_size)` and a boolean mask of
those that are there. `TextGenomeProcessor.num_placeholders` counts the same.
"""

import torch
from torch import nn
from torch.nn import functional as F
from transformers.activations import ACT2FN

from textgenome.configuration.configuration_textgenome import TextGenomeConfig


class TextGenomeLinearProjector(nn.Module):
    """One linear layer, as in BioReason (arXiv 2505.23579): a placeholder for each state."""

    def __init__(self, config: TextGenomeConfig):
        super().__init__()
        self.linear = nn.Linear(config.dna_feature_size, config.text_config.hidden_size, bias=config.projector_bias)

    def forward(
        self, states: torch.Tensor, mask: torch.Tensor, pool_ids: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return self.linear(states), mask


class TextGenomeMLPProjector(nn.Module):
    """Two linear layers with an activation between, as in LLaVA-1.5 (arXiv 2310.03744); a placeholder for each."""

    def __init__(self, config: TextGenomeConfig):
        super().__init__()
        hidden_size = config.text_config.hidden_size
        self.linear_1 = nn.Linear(config.dna_feature_size, hidden_size, bias=config.projector_bias)
        self.act = ACT2FN[config.projector_hidden_act]
        self.linear_2 = nn.Linear(hidden_size, hidden_size, bias=config.projector_bias)

    def forward(
        self, states: torch.Tensor, mask: torch.Tensor, pool_ids: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return self.linear_2(self.act(self.linear_1(states))), mask


class TextGenomePooledProjector(TextGenomeLinearProjector):
    """The mean over neighbours, then one linear layer: full resolution near the variant, less of it elsewhere.

    `pool_ids` of shape `(sequences, length)` says which placeholder of its sequence each state goes into, counted
    from 0.
    """

    def forward(
        self, states: torch.Tensor, mask: torch.Tensor, pool_ids: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if pool_ids is None:
            raise ValueError("The `pooled` projector needs `dna_pool_ids`, which the processor returns.")
        sequences, count = len(states), int(pool_ids.max()) + 1
        places = pool_ids + count * torch.arange(sequences, device=pool_ids.device)[:, None]
        # What is not shown goes into one more place: to leave it out would wait for the device.
        index = places.masked_fill(~mask, sequences * count).flatten()
        sums = states.new_zeros(sequences * count + 1, states.shape[-1]).index_add(0, index, states.flatten(0, 1))
        sizes = states.new_zeros(sequences * count + 1).index_add(0, index, states.new_ones(len(index)))
        means = (sums / sizes.clamp(min=1)[:, None])[:-1]
        return self.linear(means.view(sequences, count, -1)), (sizes[:-1] > 0).view(sequences, count)


class TextGenomeResamplerProjector(nn.Module):
    """Learnt queries that attend to the states of a sequence, as in Flamingo (arXiv 2204.14198).

    A sequence of any length takes as many placeholders as there are queries.
    """

    def __init__(self, config: TextGenomeConfig):
        super().__init__()
        hidden_size, num_heads = config.text_config.hidden_size, config.text_config.num_attention_heads
        self.num_heads, self.head_dim = num_heads, hidden_size // num_heads
        width = self.num_heads * self.head_dim
        self.queries = nn.Embedding(config.projector_num_queries, hidden_size)
        self.norm = nn.LayerNorm(config.dna_feature_size)
        self.q_proj = nn.Linear(hidden_size, width, bias=False)
        self.k_proj = nn.Linear(config.dna_feature_size, width, bias=False)
        self.v_proj = nn.Linear(config.dna_feature_size, width, bias=False)
        self.o_proj = nn.Linear(width, hidden_size, bias=config.projector_bias)

    def forward(
        self, states: torch.Tensor, mask: torch.Tensor, pool_ids: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        sequences = len(states)
        queries = self.queries(torch.arange(self.queries.num_embeddings, device=states.device))
        states = self.norm(states)
        heads = [
            projected.view(sequences, -1, self.num_heads, self.head_dim).transpose(1, 2)
            for projected in (self.q_proj(queries).repeat(sequences, 1), self.k_proj(states), self.v_proj(states))
        ]
        attended = F.scaled_dot_product_attention(*heads, attn_mask=mask[:, None, None])
        features = queries + self.o_proj(attended.transpose(1, 2).flatten(2))
        return features, torch.ones(features.shape[:2], dtype=torch.bool, device=features.device)


PROJECTORS = {
    "linear": TextGenomeLinearProjector,
    "mlp": TextGenomeMLPProjector,
    "pooled": TextGenomePooledProjector,
    "resampler": TextGenomeResamplerProjector,
}

__all__ = [
    "PROJECTORS",
    "TextGenomeLinearProjector",
    "TextGenomeMLPProjector",
    "TextGenomePooledProjector",
    "TextGenomeResamplerProjector",
]
