"""Projectors: from the width of the DNA encoder to that of the language model."""

import torch
from torch import nn
from transformers.activations import ACT2FN

from textgenome.configuration.configuration_textgenome import TextGenomeConfig


class TextGenomeLinearProjector(nn.Module):
    """One linear layer, as in BioReason (arXiv 2505.23579)."""

    def __init__(self, config: TextGenomeConfig):
        super().__init__()
        self.linear = nn.Linear(
            config.dna_config.hidden_size, config.text_config.hidden_size, bias=config.projector_bias
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """`(..., dna_hidden_size)` to `(..., hidden_size)`: one placeholder a DNA token."""
        return self.linear(features)


class TextGenomeMLPProjector(nn.Module):
    """Two linear layers with an activation between, as in LLaVA-1.5 (arXiv 2310.03744)."""

    def __init__(self, config: TextGenomeConfig):
        super().__init__()
        hidden_size = config.text_config.hidden_size
        self.linear_1 = nn.Linear(config.dna_config.hidden_size, hidden_size, bias=config.projector_bias)
        self.act = ACT2FN[config.projector_hidden_act]
        self.linear_2 = nn.Linear(hidden_size, hidden_size, bias=config.projector_bias)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """`(..., dna_hidden_size)` to `(..., hidden_size)`: one placeholder a DNA token."""
        return self.linear_2(self.act(self.linear_1(features)))


PROJECTORS = {"linear": TextGenomeLinearProjector, "mlp": TextGenomeMLPProjector}

__all__ = ["PROJECTORS", "TextGenomeLinearProjector", "TextGenomeMLPProjector"]
