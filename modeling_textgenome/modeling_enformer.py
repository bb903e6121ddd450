"""Enformer: convolutions and attention over 196,608 bases (Avsec et al., Nature Methods 18:1196, 2021).

A state covers 128 bases.
"""

import math

import torch
from torch import nn
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.modeling_outputs import BaseModelOutput

from textgenome.configuration.configuration_enformer import EnformerConfig
from textgenome.modeling_dna_encoder import register_dna_encoder
from textgenome.modeling_track_layers import (
    RelativeAttention,
    RelativeTransformerLayer,
    Residual,
    TrackEncoderPreTrainedModel,
    TrackPredictionOutput,
    center,
    predict,
    relative_distances,
    with_sign,
    zero_outside,
)


def gamma_density(distances: torch.Tensor, count: int, longest: int) -> torch.Tensor:
    """`count` gamma densities whose means divide `longest` evenly: `(distances,)` to `(distances, count)`."""
    deviation = longest / (2 * count)
    mean = torch.linspace(longest / count, longest, count, device=distances.device)
    concentration, rate = (mean / deviation) ** 2, mean / deviation**2
    log_density = torch.xlogy(concentration - 1, distances[:, None]) - rate * distances[:, None]
    return torch.exp(log_density - (torch.lgamma(concentration) - concentration * rate.log()))


def position_features(
    bins: int, count: int, longest: int, normalize_over_distances: bool, device: torch.device
) -> torch.Tensor:
    """What the attention reads of each distance (supplementary methods of the paper).

    A third each: exponentials, which fall to half within 8 bins and up to `longest`; whether a distance is below 1, 3,
    7, 15 ...; and gamma densities. Then the same with the sign of the distance.

    Args:
        bins (`int`): Length of the sequence.
        count (`int`): Number of features, a multiple of six.
        longest (`int`): Length of the longest sequence, to which the features are scaled.
        normalize_over_distances (`bool`): Whether a gamma feature is divided by its largest value over all distances,
            or by the largest of all gamma features at that distance.
        device (`torch.device`): Where to put them.

    Returns:
        `(2 * bins - 1, count)`, float32.
    """
    distances = relative_distances(bins, device)
    lengths, kinds = distances.abs(), count // 6
    half_life = 2 ** torch.linspace(3, math.log2(longest), kinds, device=device)
    exponential = torch.exp(-math.log(2) / half_life * lengths[:, None])
    widths = 2.0 ** torch.arange(1, kinds + 1, device=device) - 1
    central = (widths > lengths[:, None]).float()
    gamma = gamma_density(lengths, kinds, longest) + 1e-8
    if normalize_over_distances:
        every = torch.arange(longest, device=device, dtype=torch.float32)
        gamma = gamma / (gamma_density(every, kinds, longest) + 1e-8).amax(0)
    else:
        gamma = gamma / gamma.amax(-1, keepdim=True)
    return with_sign(torch.cat([exponential, central, gamma], dim=-1), distances)


def conv_widths(config: EnformerConfig) -> list[int]:
    """Widths of the stem and of each layer of the convolutional tower: from `dim / 2` to `dim` in equal ratios."""
    steps = config.num_downsamples - 2
    start = config.dim // 2
    ratios = [(config.dim / start) ** (i / max(steps, 1)) for i in range(steps + 1)]
    return [start, *(round(start * ratio / config.dim_divisible_by) * config.dim_divisible_by for ratio in ratios)]


class EnformerConvolution(nn.Sequential):
    """Batch norm, activation and convolution. The length is kept."""

    def __init__(self, in_width: int, out_width: int, kernel_size: int = 1):
        convolution = nn.Conv1d(in_width, out_width, kernel_size, padding=kernel_size // 2)
        super().__init__(nn.BatchNorm1d(in_width), ACT2FN["quick_gelu"], convolution)

    def forward(self, hidden_states: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        norm, activation, convolution = self
        return convolution(zero_outside(activation(norm(hidden_states)), mask))


class EnformerAttentionPool(nn.Module):
    """Halves the length: of two neighbours, the mean that is weighted by a softmax in each channel."""

    def __init__(self, width: int):
        super().__init__()
        self.to_attn_logits = nn.Conv2d(width, width, 1, bias=False)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        pairs = hidden_states.unflatten(-1, (-1, 2))
        return (pairs * self.to_attn_logits(pairs).softmax(-1)).sum(-1)


class EnformerModel(TrackEncoderPreTrainedModel):
    """The Enformer network without heads, of which each state covers `config.bases_per_state` bases.

    In evaluation mode the states of a row do not depend on padding on its right, nor on its neighbours in the batch.
    """

    config: EnformerConfig
    base_model_prefix = "enformer"
    # Of the published checkpoints: a second name of each weight, and the heads.
    _keys_to_ignore_on_load_unexpected = [r"^_trunk\.", r"^_heads\."]

    def __init__(self, config: EnformerConfig):
        super().__init__(config)
        start, *widths = conv_widths(config)
        self.stem = nn.Sequential(
            nn.Conv1d(4, start, 15, padding=7),
            Residual(EnformerConvolution(start, start)),
            EnformerAttentionPool(start),
        )
        self.conv_tower = nn.Sequential(
            *(
                nn.Sequential(
                    EnformerConvolution(in_width, out_width, kernel_size=5),
                    Residual(EnformerConvolution(out_width, out_width)),
                    EnformerAttentionPool(out_width),
                )
                for in_width, out_width in zip([start, *widths], widths)
            )
        )
        self.transformer = nn.ModuleList([self.build_layer() for _ in range(config.depth)])
        # The numbering of the checkpoints, in which the axes are swapped before and after the convolution.
        self.final_pointwise = nn.Sequential(
            nn.Identity(),
            EnformerConvolution(config.dim, config.hidden_size),
            nn.Identity(),
            nn.Dropout(config.dropout_rate / 8),
            ACT2FN["quick_gelu"],
        )
        self.gradient_checkpointing = False
        self.post_init()

    def build_layer(self) -> RelativeTransformerLayer:
        config, head_width = self.config, self.config.dim // self.config.heads
        attention = RelativeAttention(
            config.dim,
            config.heads,
            config.attn_dim_key,
            value_width=head_width,
            num_positions=head_width,
            attention_dropout=config.attn_dropout,
            position_dropout=config.pos_dropout,
        )
        return RelativeTransformerLayer(config.dim, attention, eps=1e-5, dropout=config.dropout_rate)

    @torch.no_grad()
    def _init_weights(self, module):
        if isinstance(module, EnformerAttentionPool):
            # Starts close to a maximum of the two neighbours.
            init.dirac_(module.to_attn_logits.weight)
            init.copy_(module.to_attn_logits.weight, 2 * module.to_attn_logits.weight)
        else:
            super()._init_weights(module)

    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        **kwargs,
    ) -> BaseModelOutput:
        """Encode DNA.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, length)`, *optional*): Single bases.
            attention_mask (`torch.Tensor` of shape `(batch, length)`, *optional*): 1 for bases and 0 for padding,
                which must be on the right.
            inputs_embeds (`torch.FloatTensor` of shape `(batch, length, 4)`, *optional*): The one-hot bases A, C, G
                and T, in place of `input_ids`.

        Returns:
            `last_hidden_state` of shape `(batch, states, hidden_size)`, where `states` is the length divided by
            `config.bases_per_state`, rounded up. Those of a row are valid where `attention_mask[:,
            ::config.bases_per_state]` is 1.

        Raises:
            ValueError: If the input is longer than `config.max_position_embeddings`, or if a row is padded on the left
                or empty.
        """
        config = self.config
        one_hot, mask = self.one_hot_rows(input_ids, attention_mask, inputs_embeds, config.bases_per_state)
        hidden_states = self.stem(one_hot)
        for convolution, residual, pool in self.conv_tower:
            hidden_states = pool(residual(convolution(hidden_states, mask)))
        hidden_states = hidden_states.transpose(1, 2)
        # Made anew for each input: they depend on its length.
        positions = position_features(
            hidden_states.shape[1],
            config.dim // config.heads,
            config.max_position_embeddings // config.bases_per_state,
            config.use_tf_gamma,
            hidden_states.device,
        ).to(hidden_states.dtype)
        for layer in self.transformer:
            hidden_states = layer(hidden_states, positions, mask)
        return BaseModelOutput(last_hidden_state=self.final_pointwise(hidden_states.transpose(1, 2)).transpose(1, 2))


class EnformerForTrackPrediction(EnformerModel):
    """Enformer with its published heads: 5,313 human and 1,643 mouse tracks of 128 bases."""

    _keys_to_ignore_on_load_unexpected = [r"^_trunk\."]
    _keep_in_fp32_modules_strict = ["_heads"]

    def __init__(self, config: EnformerConfig):
        super().__init__(config)
        self._heads = nn.ModuleDict(
            {
                species: nn.Sequential(nn.Linear(config.hidden_size, tracks))
                for species, tracks in config.output_heads.items()
            }
        )
        self.post_init()

    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        **kwargs,
    ) -> TrackPredictionOutput:
        """Predict tracks, for the `config.target_length` states in the middle if that is set.

        Args and errors as of `EnformerModel`; rows that are cropped must be of equal length, and long enough.
        """
        states = super().forward(input_ids, attention_mask, inputs_embeds).last_hidden_state
        states = center(states, self.config.target_length, attention_mask)
        tracks = {species: predict(head, states) for species, head in self._heads.items()}
        return TrackPredictionOutput(tracks=tracks, last_hidden_state=states)


register_dna_encoder(EnformerModel)

__all__ = ["EnformerForTrackPrediction", "EnformerModel"]
