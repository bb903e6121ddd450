"""An encoder of overlapping k-mers: a table for each length, and no layers. Small models from random weights learn
codons and hexamers by it in minutes, where convolutions take hours."""

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from textgenome.configuration.configuration_kmers import KmersConfig
from textgenome.modeling_dna_encoder import register_dna_encoder


class KmersModel(PreTrainedModel):
    """The state of a base is the sum of what tables hold for the k-mers around it, one for each length."""

    config: KmersConfig
    base_model_prefix = "kmers"
    # There is no attention here, so whichever implementation the language model runs with is fine.
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = _supports_attention_backend = True

    def __init__(self, config: KmersConfig):
        super().__init__(config)
        # The last row is for what is no k-mer: one with an N, or over an end of the sequence.
        self.tables = nn.ModuleList(nn.Embedding(4**length + 1, config.hidden_size) for length in config.lengths)
        self.post_init()

    def get_input_embeddings(self) -> None:
        """None: a state is made of several tokens, so tokens have no embeddings that could be replaced."""
        return None

    def forward(
        self,
        input_ids: torch.LongTensor,
        attention_mask: torch.Tensor | None = None,
        output_hidden_states: bool = False,
        return_dict: bool = True,
    ) -> BaseModelOutput | tuple:
        """Encode sequences.

        Args:
            input_ids (`torch.LongTensor`): `(batch, length)`; 0 to 3 are bases.
            attention_mask (`torch.Tensor`, *optional*): Same shape, 0 for padding, on either side. It does not change
                the states of bases.
            output_hidden_states (`bool`, *optional*, defaults to `False`): Whether to return the states also as
                `hidden_states`.
            return_dict (`bool`, *optional*, defaults to `True`): If not, a tuple is returned.

        Returns:
            `last_hidden_state`, `(batch, length, hidden_size)`.
        """
        is_base = (input_ids >= 0) & (input_ids < 4)
        if attention_mask is not None:
            is_base = is_base & attention_mask.bool()
        states = sum(table(number_kmers(input_ids, is_base, k)) for table, k in zip(self.tables, self.config.lengths))
        output = BaseModelOutput(states, (states,) if output_hidden_states else None)
        return output if return_dict else output.to_tuple()


def number_kmers(ids: torch.LongTensor, is_base: torch.Tensor, length: int) -> torch.LongTensor:
    """The number of the k-mer around each base, 0 to `4**length - 1`, or `4**length` where there is none.

    A k-mer of an even length has one base more after the base than before it.

    Args:
        ids (`torch.LongTensor` of shape `(batch, length)`): 0 to 3 where `is_base`, which has the same shape.
        is_base (`torch.Tensor`): Bool.
        length (`int`): Bases of a k-mer.
    """
    before, size = (length - 1) // 2, ids.shape[1]
    edge = (before, length - 1 - before)
    ids, is_base = F.pad(ids * is_base, edge), F.pad(is_base, edge)
    number, whole = torch.zeros_like(ids[:, :size]), torch.ones_like(is_base[:, :size])
    for step in range(length):
        number = 4 * number + ids[:, step : step + size]
        whole = whole & is_base[:, step : step + size]
    return number.masked_fill(~whole, 4**length)


register_dna_encoder(KmersModel)

__all__ = ["KmersModel", "number_kmers"]
