"""Caduceus-Ph: a DNA encoder that scans a sequence in both directions with Mamba (arXiv 2403.03234)."""

import math

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutput, MaskedLMOutput
from transformers.models.mamba.modeling_mamba import MambaMixer, MambaRMSNorm

from textgenome.configuration.configuration_caduceus import CaduceusConfig
from textgenome.modeling_dna_encoder import register_dna_encoder


def reorder(states: torch.Tensor, places: torch.LongTensor) -> torch.Tensor:
    """Take the states `(batch, length, width)` from other places `(batch, length)` of their sequence."""
    return states.gather(1, places[..., None].expand_as(states))


class CaduceusMamba(MambaMixer):
    """The Mamba mixer of transformers.

    It is always in evaluation mode, which for it means only that its layers are called: the fused kernel for training
    would take their weights and miss what an adapter adds. It has no dropout.
    """

    def __init__(self, config: CaduceusConfig, layer_idx: int):
        super().__init__(config.mamba_config, layer_idx)
        self.train(False)

    def train(self, mode: bool = True):
        return super().train(False)


class CaduceusReverseMamba(CaduceusMamba):
    """A mixer that uses the projections of another one.

    They are not its own modules, so that they are saved once, and what replaces them there, such as an adapter, is
    used here as well.
    """

    def __init__(self, config: CaduceusConfig, layer_idx: int, lender: CaduceusMamba):
        super().__init__(config, layer_idx)
        del self.in_proj, self.out_proj
        self.lender = (lender,)  # a module in a tuple is not registered

    @property
    def in_proj(self) -> nn.Module:
        return self.lender[0].in_proj

    @property
    def out_proj(self) -> nn.Module:
        return self.lender[0].out_proj


class CaduceusMixer(nn.Module):
    def __init__(self, config: CaduceusConfig, layer_idx: int):
        super().__init__()
        self.mamba_fwd = CaduceusMamba(config, layer_idx)
        self.mamba_rev = CaduceusReverseMamba(config, layer_idx, self.mamba_fwd)

    def forward(self, hidden_states: torch.Tensor, backwards: torch.LongTensor) -> torch.Tensor:
        reverse = self.mamba_rev(reorder(hidden_states, backwards))
        return self.mamba_fwd(hidden_states) + reorder(reverse, backwards)


class CaduceusBlock(GradientCheckpointingLayer):
    def __init__(self, config: CaduceusConfig, layer_idx: int):
        super().__init__()
        self.norm = MambaRMSNorm(config.d_model, eps=config.norm_epsilon)
        self.mixer = CaduceusMixer(config, layer_idx)

    def forward(self, residual: torch.Tensor, backwards: torch.LongTensor) -> torch.Tensor:
        return residual + self.mixer(self.norm(residual).to(self.norm.weight.dtype), backwards)


class CaduceusEmbeddings(nn.Module):
    def __init__(self, config: CaduceusConfig):
        super().__init__()
        self.word_embeddings = nn.Embedding(config.num_tokens, config.d_model)


class CaduceusBackbone(nn.Module):
    def __init__(self, config: CaduceusConfig):
        super().__init__()
        self.embeddings = CaduceusEmbeddings(config)
        self.layers = nn.ModuleList([CaduceusBlock(config, i) for i in range(config.n_layer)])
        self.norm_f = MambaRMSNorm(config.d_model, eps=config.norm_epsilon)


class CaduceusPreTrainedModel(PreTrainedModel):
    config: CaduceusConfig
    base_model_prefix = "caduceus"
    # Of the published checkpoints: the head, and the second name of the projections that the directions share.
    _keys_to_ignore_on_load_unexpected = [r"^lm_head\.", r"\.mamba_rev\.(in|out)_proj\.(weight|bias)$"]
    supports_gradient_checkpointing = True
    _no_split_modules = ["CaduceusBlock"]
    # There is no attention here, so whichever implementation the language model runs with is fine.
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = _supports_attention_backend = True

    @torch.no_grad()
    def _init_weights(self, module):
        super()._init_weights(module)
        if isinstance(module, nn.Linear | nn.Conv1d):
            init.kaiming_uniform_(module.weight, a=math.sqrt(5))
        if isinstance(module, CaduceusMamba):
            module.init_mamba_weights()
        if isinstance(module, CaduceusMixer):
            # Smaller, since as many branches as there are blocks are added up in the residual stream.
            weight = module.mamba_fwd.out_proj.weight
            bound = (weight.shape[1] * self.config.n_layer) ** -0.5
            init.uniform_(weight, -bound, bound)


class CaduceusModel(CaduceusPreTrainedModel):
    """The Caduceus-Ph network without a head.

    Sequences of unequal length in a batch, padded on either side, get the states that they get alone: each is scanned
    backwards from its own last token.
    """

    def __init__(self, config: CaduceusConfig):
        super().__init__(config)
        self.backbone = CaduceusBackbone(config)
        self.gradient_checkpointing = False
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.backbone.embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.backbone.embeddings.word_embeddings = value

    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        output_hidden_states: bool = False,
        average_strands: bool | None = None,
        **kwargs,
    ) -> BaseModelOutput:
        """Encode DNA.

        Args:
            input_ids (`torch.LongTensor`, *optional*): `(batch, length)` DNA tokens.
            attention_mask (`torch.Tensor` of shape `(batch, length)`, *optional*): 1 for tokens and 0 for padding.
            inputs_embeds (`torch.FloatTensor` of shape `(batch, length, d_model)`, *optional*): In place of
                `input_ids`, where strands are not averaged.
            output_hidden_states (`bool`, *optional*, defaults to `False`): Whether to return the embedding and the
                output of every block as well.
            average_strands (`bool`, *optional*): Whether to average the states with those of the reverse complement,
                each with that of the same base. By default as the configuration says.

        Returns:
            `last_hidden_state` of shape `(batch, length, d_model)`. All hidden states are averaged alike.

        Raises:
            ValueError: If strands are to be averaged, and `inputs_embeds` is given.
        """
        average = self.config.average_strands if average_strands is None else average_strands
        if average and input_ids is None:
            raise ValueError("The reverse complement needs input_ids: pass them, or average_strands=False.")
        places, backwards = find_places(inputs_embeds if input_ids is None else input_ids, attention_mask)
        if input_ids is None:
            hidden_states = reorder(inputs_embeds, places)
        else:
            input_ids = input_ids.gather(1, places)
            if average:
                input_ids = torch.cat([input_ids, self.complement(input_ids).gather(1, backwards)])
            hidden_states = self.get_input_embeddings()(input_ids)
        both = backwards.repeat(2, 1) if average else backwards
        all_hidden_states = self.run(hidden_states, both, output_hidden_states)
        if average:
            pairs = [each.chunk(2) for each in all_hidden_states]
            all_hidden_states = [(given + reorder(other, backwards)) / 2 for given, other in pairs]
        if attention_mask is not None:
            back = places.argsort(-1)
            all_hidden_states = [reorder(each, back) for each in all_hidden_states]
        return BaseModelOutput(
            last_hidden_state=all_hidden_states[-1],
            hidden_states=tuple(all_hidden_states) if output_hidden_states else None,
        )

    def complement(self, input_ids: torch.LongTensor) -> torch.LongTensor:
        complements = self.config.complement_map
        return input_ids.new_tensor([complements.get(i, i) for i in range(self.config.num_tokens)])[input_ids]

    def run(self, hidden_states: torch.Tensor, backwards: torch.LongTensor, keep: bool) -> list[torch.Tensor]:
        """The last hidden state, and with `keep` those before it, from the embedding on."""
        if self.config.residual_in_fp32:
            hidden_states = hidden_states.float()
        kept = []
        for layer in self.backbone.layers:
            if keep:
                kept.append(hidden_states)
            hidden_states = layer(hidden_states, backwards)
        norm = self.backbone.norm_f
        return [*kept, norm(hidden_states).to(norm.weight.dtype)]


def find_places(given: torch.Tensor, mask: torch.Tensor | None) -> tuple[torch.LongTensor, torch.LongTensor]:
    """Where to take tokens from, `(batch, length)`, so that padding follows them; and then, to read them backwards.

    Args:
        given (`torch.Tensor`): `(batch, length, ...)`.
        mask (`torch.Tensor` of shape `(batch, length)`): 1 for tokens and 0 for padding; None if there is no padding.
    """
    places = torch.arange(given.shape[1], device=given.device).expand(given.shape[:2])
    if mask is None:
        return places, places.flip(1)
    lengths = mask.bool().sum(-1, keepdim=True)
    backwards = torch.where(places < lengths, lengths - 1 - places, places)
    return mask.bool().long().argsort(dim=-1, descending=True, stable=True), backwards


class CaduceusForMaskedLM(CaduceusPreTrainedModel):
    """Caduceus-Ph with its head, which predicts masked tokens of the given strand.

    Args:
        config (`CaduceusConfig`): Of the network.

    Example:

        model = CaduceusForMaskedLM(CaduceusConfig(d_model=8, n_layer=1))
        logits = model(torch.tensor([[7, 8, 3, 10]])).logits  # (1, 4, 16)
    """

    _tied_weights_keys = {"lm_head.weight": "caduceus.backbone.embeddings.word_embeddings.weight"}

    def __init__(self, config: CaduceusConfig):
        super().__init__(config)
        self.caduceus = CaduceusModel(config)
        self.lm_head = nn.Linear(config.d_model, config.num_tokens, bias=False)
        self.post_init()

    def get_output_embeddings(self) -> nn.Module:
        return self.lm_head

    def set_output_embeddings(self, value: nn.Module) -> None:
        self.lm_head = value

    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        labels: torch.LongTensor | None = None,
        output_hidden_states: bool = False,
        **kwargs,
    ) -> MaskedLMOutput:
        """Predict masked tokens.

        Args:
            input_ids (`torch.LongTensor`, *optional*): `(batch, length)` DNA tokens.
            attention_mask (`torch.Tensor` of shape `(batch, length)`, *optional*): 1 for tokens and 0 for padding.
            inputs_embeds (`torch.FloatTensor` of shape `(batch, length, d_model)`, *optional*): In place of
                `input_ids`.
            labels (`torch.LongTensor` of shape `(batch, length)`, *optional*): The tokens that were masked, -100
                elsewhere.
            output_hidden_states (`bool`, *optional*, defaults to `False`): Whether to return the embedding and the
                output of every block as well.

        Returns:
            `logits` of shape `(batch, length, vocabulary)`, where the vocabulary is padded up as the embedding is, and
            with `labels` their `loss`. No state is averaged with the other strand.
        """
        outputs = self.caduceus(input_ids, attention_mask, inputs_embeds, output_hidden_states, average_strands=False)
        logits = self.lm_head(outputs.last_hidden_state)
        loss = None
        if labels is not None:
            loss = self.loss_function(logits, labels, vocab_size=logits.shape[-1], **kwargs)
        return MaskedLMOutput(loss=loss, logits=logits, hidden_states=outputs.hidden_states)


register_dna_encoder(CaduceusModel)

__all__ = ["CaduceusForMaskedLM", "CaduceusModel", "CaduceusPreTrainedModel"]
