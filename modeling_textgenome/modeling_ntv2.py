"""Nucleotide Transformer v2: ESM with rotary positions and a gated feed-forward network without biases.

The paper is doi.org/10.1038/s41592-024-02523-z. Its checkpoints call themselves `esm`, with `add_bias_fnn: false`.
"""

from torch import Tensor, nn
from torch.nn import functional as F
from transformers import EsmConfig, EsmForMaskedLM, EsmModel

from textgenome.modeling_dna_encoder import register_dna_encoder


# Of the published checkpoints: what the rotary positions are computed from, in every layer.
OLD_KEYS = [r"\.attention\.self\.rotary_embeddings\.inv_freq$"]


def is_ntv2(config: dict) -> bool:
    """Whether a `config.json` describes a Nucleotide Transformer v2."""
    return config.get("model_type") == "esm" and config.get("add_bias_fnn") is False


class NTv2Intermediate(nn.Module):
    """The inner layer of the feed-forward network: one half of its outputs gates the other."""

    def __init__(self, config: EsmConfig):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, 2 * config.intermediate_size, bias=False)

    def forward(self, hidden_states: Tensor) -> Tensor:
        gate, value = self.dense(hidden_states).chunk(2, dim=-1)
        return F.silu(gate) * value


class NTv2Model(EsmModel):
    """The Nucleotide Transformer v2 without a head. Called like `EsmModel`, it returns the same outputs.

    Args:
        config (`EsmConfig`): That of an ESM with `position_embedding_type="rotary"`. `add_bias_fnn` is set to False,
            by which checkpoints are told from those of other ESMs.
    """

    _keys_to_ignore_on_load_unexpected = [*OLD_KEYS, r"^lm_head\."]
    _keys_to_ignore_on_load_missing = [r"rotary_embeddings\.inv_freq$"]

    def __init__(self, config: EsmConfig):
        super().__init__(config, add_pooling_layer=False)
        config.add_bias_fnn = False
        for layer in self.encoder.layer:
            layer.intermediate = NTv2Intermediate(config)
            layer.output.dense = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)
        self.post_init()


class NTv2ForMaskedLM(EsmForMaskedLM):
    """The Nucleotide Transformer v2 with its head, which predicts masked tokens. Called like `EsmForMaskedLM`."""

    _keys_to_ignore_on_load_unexpected = OLD_KEYS
    _keys_to_ignore_on_load_missing = [r"rotary_embeddings\.inv_freq$"]

    def __init__(self, config: EsmConfig):
        super().__init__(config)
        self.esm = NTv2Model(config)
        self.post_init()


register_dna_encoder(NTv2Model, reads=is_ntv2)

__all__ = ["NTv2ForMaskedLM", "NTv2Model", "is_ntv2"]
