"""Borzoi: convolutions, attention and a U-Net over 524,288 bases (Linder et al., Nature Genetics 57:949, 2025).

A state covers 32 bases.
"""

import torch
from torch import nn
from torch.nn import functional as F
from transformers.modeling_outputs import BaseModelOutput

from textgenome.configuration.configuration_borzoi import BorzoiConfig
from textgenome.modeling_dna_encoder import register_dna_encoder
from textgenome.modeling_track_layers import (
    RelativeAttention,
    RelativeTransformerLayer,
    TrackEncoderPreTrainedModel,
    TrackPredictionOutput,
    center,
    predict,
    relative_distances,
    with_sign,
    zero_outside,
)


EPS = 1e-3  # of all norms


def position_features(bins: int, count: int, longest: int, device: torch.device) -> torch.Tensor:
    """What the attention reads of each distance: whether it is below widths that grow in equal ratios.

    Args:
        bins (`int`): Length of the sequence.
        count (`int`): Number of features, half of them with the sign of the distance.
        longest (`int`): The largest width.
        device (`torch.device`): Where to put them.

    Returns:
        `(2 * bins - 1, count)`, float32.
    """
    distances = relative_distances(bins, device)
    widths = (longest + 1) ** (torch.arange(1, count // 2 + 1, device=device) / (count // 2)) - 1
    return with_sign((widths > distances.abs()[:, None]).float(), distances)


class BorzoiStem(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.conv_layer = nn.Conv1d(4, width, 15, padding=7)

    def forward(self, one_hot: torch.Tensor) -> torch.Tensor:
        return F.max_pool1d(self.conv_layer(one_hot), 2)


class BorzoiConvolution(nn.Module):
    """Batch norm, activation and convolution. The length is kept."""

    def __init__(self, in_width: int, out_width: int, kernel_size: int = 1):
        super().__init__()
        self.norm = nn.BatchNorm1d(in_width, eps=EPS)
        self.conv_layer = nn.Conv1d(in_width, out_width, kernel_size, padding=kernel_size // 2)

    def forward(self, hidden_states: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        hidden_states = F.gelu(self.norm(hidden_states), approximate="tanh")
        return self.conv_layer(zero_outside(hidden_states, mask))


class BorzoiSeparableConvolution(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        depthwise = nn.Conv1d(width, width, 3, padding=1, groups=width, bias=False)
        self.conv_layer = nn.Sequential(depthwise, nn.Conv1d(width, width, 1))

    def forward(self, hidden_states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        return self.conv_layer(zero_outside(hidden_states, mask))


class BorzoiModel(TrackEncoderPreTrainedModel):
    """The Borzoi network without heads, of which each state covers `config.bases_per_state` bases.

    In evaluation mode the states of a row do not depend on padding on its right, nor on its neighbours in the batch.
    """

    config: BorzoiConfig
    base_model_prefix = "borzoi"
    _keys_to_ignore_on_load_unexpected = [r"^human_head\.", r"^mouse_head\."]

    def __init__(self, config: BorzoiConfig):
        super().__init__(config)
        start, *widths = config.conv_dims
        self.conv_dna = BorzoiStem(start)
        # The numbering of the checkpoints, in which the length is halved between the convolutions.
        tower = []
        for in_width, out_width in zip(config.conv_dims, widths):
            tower += [BorzoiConvolution(in_width, out_width, kernel_size=5), nn.MaxPool1d(2)]
        self.res_tower = nn.Sequential(*tower[:-1])
        self.unet1 = nn.Sequential(nn.MaxPool1d(2), BorzoiConvolution(widths[-1], config.dim, kernel_size=5))
        self.horizontal_conv0 = BorzoiConvolution(widths[-1], config.dim)
        self.horizontal_conv1 = BorzoiConvolution(config.dim, config.dim)
        self.transformer = nn.ModuleList([self.build_layer() for _ in range(config.depth)])
        self.upsampling_unet1 = nn.Sequential(BorzoiConvolution(config.dim, config.dim), nn.Upsample(scale_factor=2))
        self.separable1 = BorzoiSeparableConvolution(config.dim)
        self.upsampling_unet0 = nn.Sequential(BorzoiConvolution(config.dim, config.dim), nn.Upsample(scale_factor=2))
        self.separable0 = BorzoiSeparableConvolution(config.dim)
        self.final_joined_convs = nn.Sequential(
            BorzoiConvolution(config.dim, config.hidden_size), nn.Dropout(0.1), nn.GELU(approximate="tanh")
        )
        self.gradient_checkpointing = False
        self.post_init()

    def build_layer(self) -> RelativeTransformerLayer:
        config = self.config
        attention = RelativeAttention(
            config.dim,
            config.heads,
            config.attn_dim_key,
            value_width=config.attn_dim_value,
            num_positions=config.num_rel_pos_features,
            attention_dropout=config.attn_dropout,
            position_dropout=config.pos_dropout,
        )
        return RelativeTransformerLayer(config.dim, attention, eps=EPS, dropout=config.dropout_rate)

    def attend(self, hidden_states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """The transformer: `(batch, dim, bins)` to the same."""
        hidden_states = hidden_states.transpose(1, 2)
        longest = self.config.max_position_embeddings // (4 * self.config.bases_per_state)
        # Made anew for each input: they depend on its length.
        positions = position_features(
            hidden_states.shape[1], self.config.num_rel_pos_features, longest, hidden_states.device
        ).to(hidden_states.dtype)
        for layer in self.transformer:
            hidden_states = layer(hidden_states, positions, mask)
        return hidden_states.transpose(1, 2)

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
        # The transformer works on bins of four states, so rows are filled up to whole bins.
        one_hot, mask = self.one_hot_rows(input_ids, attention_mask, inputs_embeds, 4 * self.config.bases_per_state)
        fine = self.conv_dna(one_hot)
        for layer in self.res_tower:
            fine = layer(fine, mask) if isinstance(layer, BorzoiConvolution) else layer(fine)
        halve, convolution = self.unet1
        coarse = convolution(halve(fine), mask)
        hidden_states = self.attend(F.max_pool1d(coarse, 2), mask)
        hidden_states = self.upsampling_unet1(hidden_states) + self.horizontal_conv1(coarse)
        hidden_states = self.separable1(hidden_states, mask)
        hidden_states = self.upsampling_unet0(hidden_states) + self.horizontal_conv0(fine)
        hidden_states = self.separable0(hidden_states, mask)
        length = (inputs_embeds if input_ids is None else input_ids).shape[1]
        states = -(-length // self.config.bases_per_state)
        hidden_states = self.final_joined_convs(hidden_states[..., :states])
        return BaseModelOutput(last_hidden_state=hidden_states.transpose(1, 2))


class BorzoiForTrackPrediction(BorzoiModel):
    """Borzoi with its published heads: 7,611 human or 2,608 mouse tracks of 32 bases.

    The tracks are on the scale that the published network was trained on: squashed, not counts of reads.
    """

    _keys_to_ignore_on_load_unexpected = []
    _keep_in_fp32_modules_strict = ["human_head", "mouse_head"]

    def __init__(self, config: BorzoiConfig):
        super().__init__(config)
        for species, tracks in config.output_heads.items():
            self.add_module(f"{species}_head", nn.Conv1d(config.hidden_size, tracks, 1))
        self.post_init()

    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        **kwargs,
    ) -> TrackPredictionOutput:
        """Predict tracks, for the `config.target_length` states in the middle if that is set.

        Args and errors as of `BorzoiModel`; rows that are cropped must be of equal length, and long enough.
        """
        states = super().forward(input_ids, attention_mask, inputs_embeds).last_hidden_state
        states = center(states, self.config.target_length, attention_mask)
        tracks = {
            species: predict(self.get_submodule(f"{species}_head"), states.transpose(1, 2)).transpose(1, 2)
            for species in self.config.output_heads
        }
        return TrackPredictionOutput(tracks=tracks, last_hidden_state=states)


register_dna_encoder(BorzoiModel)

__all__ = ["BorzoiForTrackPrediction", "BorzoiModel"]
