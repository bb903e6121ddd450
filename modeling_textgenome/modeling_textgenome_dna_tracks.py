"""Signals along DNA: a DNA encoder with a head that predicts tracks, such as coverage, for each base or bin."""

import math

import torch
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init
from transformers.modeling_outputs import TokenClassifierOutput
from transformers.utils import can_return_tuple

from textgenome.configuration.configuration_textgenome_dna import TextGenomeDNAConfig
from textgenome.modeling_heads import states_to_bases
from textgenome.modeling_textgenome_dna import TextGenomeDNAModel, TextGenomeDNAPreTrainedModel


EPSILON = 1e-6  # added to what a logarithm is taken of
SOFT_CLIP = 10  # where the scaled signal goes over into a square root


def scale_signal(signal: torch.Tensor, means: torch.Tensor) -> torch.Tensor:
    """Squash a signal for training: divide it by its mean, take the power 0.75, and soften what is above 10.

    As Enformer, Borzoi (Linder et al., Nature Genetics 57:949, 2025) and Genos do. `unscale_signal` is the inverse.

    Args:
        signal (`torch.Tensor` of shape `(..., tracks)`): Not negative; NaN stays.
        means (`torch.Tensor` of shape `(tracks,)`): Of each track over the positions where it is not 0.
    """
    power = (signal / means) ** 0.75
    soft = 2 * (SOFT_CLIP * power.clamp(min=SOFT_CLIP)).sqrt() - SOFT_CLIP
    return torch.where(power > SOFT_CLIP, soft, power)


def unscale_signal(scaled: torch.Tensor, means: torch.Tensor) -> torch.Tensor:
    """The inverse of `scale_signal`."""
    power = torch.where(scaled > SOFT_CLIP, (scaled + SOFT_CLIP) ** 2 / (4 * SOFT_CLIP), scaled)
    return means * power ** (4 / 3)


def track_loss(predicted: torch.Tensor, signal: torch.Tensor, config: TextGenomeDNAConfig) -> torch.Tensor:
    """The loss of `config.track_loss`, the mean over all positions with a known signal; 0 where there is none.

    - `mse`: the squared difference.
    - `poisson`: `p - y log p`, for counts and what is like them.
    - `tweedie`: `-y p^(1-k) / (1-k) + p^(2-k) / (2-k)` with `k = config.tweedie_power`, between Poisson (1) and gamma
      (2): for signals of which many positions are 0.
    - `poisson_multinomial`: cross entropy of the profile along each row, and `config.track_total_weight` times the
      Poisson loss of its sum, both by the number of positions (Borzoi).

    Args:
        predicted (`torch.Tensor` of shape `(batch, bins, tracks)`): Positive.
        signal (`torch.Tensor`): The same shape, NaN where nothing is known.
        config (`TextGenomeDNAConfig`): Says which loss.
    """
    known = ~signal.isnan()
    count = known.sum().clamp(min=1)
    signal = signal.where(known, 0)
    if config.track_loss == "poisson_multinomial":
        predicted = (predicted + EPSILON).where(known, 0)
        total, expected = signal.sum(1), predicted.sum(1)
        # Of what is unknown the logarithm is that of 1, in whole rows, too.
        log_total = expected.where(known.any(1), 1).log()
        profile = signal * (predicted.where(known, 1).log() - log_total[:, None])
        return (config.track_total_weight * (expected - total * log_total).sum() - profile.sum()) / count
    if config.track_loss == "mse":
        losses = (predicted - signal) ** 2
    elif config.track_loss == "poisson":
        losses = predicted - signal * (predicted + EPSILON).log()
    else:
        power, base = config.tweedie_power, predicted + EPSILON
        losses = -signal * base ** (1 - power) / (1 - power) + base ** (2 - power) / (2 - power)
    return losses.where(known, 0).sum() / count


class TextGenomeTrackOutput(nn.Conv1d):
    """One value for each track at each position."""

    def __init__(self, width: int, config: TextGenomeDNAConfig):
        super().__init__(width, config.num_labels, 1)


class TextGenomeTrackConvolution(nn.Module):
    """Convolution, batch norm, GELU and dropout: `(batch, width, positions)`, zero outside the rows, as before it."""

    def __init__(self, in_width: int, out_width: int, dilation: int, dropout: float):
        super().__init__()
        self.convolution = nn.Conv1d(in_width, out_width, 3, padding=dilation, dilation=dilation)
        self.norm = nn.BatchNorm1d(out_width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden_states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.dropout(F.gelu(self.norm(self.convolution(hidden_states)))) * mask


class TextGenomeGenosTrackHead(nn.Module):
    """The head of Genos: two convolutions that narrow the states to a sixteenth, and one value a track."""

    def __init__(self, width: int, config: TextGenomeDNAConfig):
        super().__init__()
        dropout = config.track_dropout
        self.layers = nn.ModuleList(
            [
                TextGenomeTrackConvolution(width, width // 4, 1, dropout),
                TextGenomeTrackConvolution(width // 4, width // 16, 2, dropout),
            ]
        )
        self.output = TextGenomeTrackOutput(width // 16, config)

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            states = layer(states, mask)
        return self.output(states)


class TextGenomeDilatedTrackHead(nn.Module):
    """Residual convolutions, each of which sees twice as far as the one before it."""

    def __init__(self, width: int, config: TextGenomeDNAConfig):
        super().__init__()
        self.input = nn.Conv1d(width, config.track_width, 1)
        self.layers = nn.ModuleList(
            [
                TextGenomeTrackConvolution(config.track_width, config.track_width, 2**number, config.track_dropout)
                for number in range(config.track_layers)
            ]
        )
        self.output = TextGenomeTrackOutput(config.track_width, config)

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        states = self.input(states) * mask
        for layer in self.layers:
            states = states + layer(states, mask)
        return self.output(states)


class TextGenomeLinearTrackHead(nn.Module):
    """One linear layer, as the published heads of Enformer and Borzoi are."""

    def __init__(self, width: int, config: TextGenomeDNAConfig):
        super().__init__()
        self.output = TextGenomeTrackOutput(width, config)

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.output(states)


HEADS = {
    "dilated": TextGenomeDilatedTrackHead,
    "genos": TextGenomeGenosTrackHead,
    "linear": TextGenomeLinearTrackHead,
}


class TextGenomeTrackHead(nn.Module):
    """States to positive signals: a network, softplus, and but for `linear` a learnt scale of each track."""

    def __init__(self, width: int, config: TextGenomeDNAConfig):
        super().__init__()
        self.network = HEADS[config.track_head](width, config)
        # One scalar a track. The published heads of Enformer and Borzoi have none.
        self.scale = None if config.track_head == "linear" else nn.Parameter(torch.empty(config.num_labels))

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`(batch, positions, width)` and their mask, bool, to `(batch, positions, tracks)`."""
        mask = mask[:, None].to(states.dtype)
        signal = F.softplus(self.network(states.transpose(1, 2) * mask, mask)) * mask
        signal = signal.transpose(1, 2)
        return signal if self.scale is None else signal * F.softplus(self.scale)

    @torch.no_grad()
    def start_at(self, means: torch.Tensor) -> None:
        """Let a new head predict about these means, `(tracks,)`: one that begins far from them first learns no more.
        A head without a learnt scale stays."""
        if self.scale is not None:
            scale = means.to(self.scale) / math.log(2)  # what softplus makes of 0
            self.scale.copy_(scale + (-(-scale).expm1()).log())  # the inverse of softplus


class TextGenomeDNAForTrackPrediction(TextGenomeDNAPreTrainedModel):
    """A DNA encoder with a head that predicts signals along the sequence, one value a bin of `track_resolution` bases.

    The tracks are the labels of the configuration. Signals are scaled for training and back by what the configuration
    says, so that predictions are in the units of the labels.

    Args:
        config (`TextGenomeDNAConfig`): Of the encoder and the head; its `id2label` names the tracks.

    Example:

        model = AutoModel.from_pretrained("outputs/tracks")
        model(**processor(sequence, return_tensors="pt")).logits  # (1, bins, tracks), in the units of the signals
    """

    auto_class_names = ("AutoModel",)
    # New weights move by less than bfloat16 can tell apart.
    _keep_in_fp32_modules_strict = ["head"]

    def __init__(self, config: TextGenomeDNAConfig):
        super().__init__(config)
        self.model = TextGenomeDNAModel(config)
        self.head = TextGenomeTrackHead(config.dna_feature_size, config)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        dna_input_ids: torch.LongTensor,
        dna_attention_mask: torch.Tensor,
        dna_spans: torch.LongTensor,
        labels: torch.FloatTensor | None = None,
        dna_inputs_embeds: torch.Tensor | None = None,
    ) -> TokenClassifierOutput:
        """Predict the tracks of sequences.

        Args:
            dna_input_ids (`torch.LongTensor`): `(batch, 1, dna_length)`.
            dna_attention_mask (`torch.Tensor`): Same shape, 1 for DNA tokens and 0 for padding, on either side.
            dna_spans (`torch.LongTensor`): Same shape, how many bases each token covers.
            labels (`torch.FloatTensor` of shape `(batch, bins, tracks)`, *optional*): Float, the mean signal of each
                bin; NaN where nothing is known. There may be fewer bins than the longest row has: those after them are
                not known.
            dna_inputs_embeds (`torch.Tensor`, *optional*): See `TextGenomeDNAModel.forward`.

        Returns:
            `logits`: the predicted signals, of shape `(batch, bins, tracks)`, float32, not negative, in the units of
            the labels. The bin `i` covers the bases from `i * track_resolution` on; after the last base of a row they
            are 0. And with labels the `loss`.

        Raises:
            ValueError: If a row has several sequences, or labels are of another shape.
        """
        if dna_input_ids.dim() != 3 or dna_input_ids.shape[1] != 1:
            raise ValueError(
                "`dna_input_ids` must hold one sequence for each row, as (batch, 1, dna_length), got "
                f"{tuple(dna_input_ids.shape)}."
            )
        encoded = self.model(dna_input_ids, dna_attention_mask, dna_spans, dna_inputs_embeds)
        spans, resolution = encoded.state_spans[:, 0], self.config.track_resolution
        states = encoded.last_hidden_state[:, 0].to(self.dtype_of_head)
        states = states_to_bases(states, spans, resolution)
        bins = -(-spans.sum(-1, keepdim=True) // resolution)
        mask = torch.arange(states.shape[1], device=states.device) < bins
        with torch.autocast(states.device.type, enabled=False):
            scaled = self.head(states, mask).float()
        loss = None
        if labels is not None:
            loss = track_loss(scaled[:, : labels.shape[1]], self.scale_labels(labels, mask), self.config)
        return TokenClassifierOutput(loss=loss, logits=self.unscale(scaled))

    @property
    def dtype_of_head(self) -> torch.dtype:
        return next(self.head.parameters()).dtype

    def scale_labels(self, labels: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Labels on the scale of the loss, NaN after the last base of a row."""
        expected = (len(mask), mask.shape[1], self.config.num_labels)
        if labels.shape[::2] != expected[::2] or labels.shape[1] > expected[1]:
            raise ValueError(
                f"`labels` must be (batch, bins, tracks), here at most {expected}, got {tuple(labels.shape)}."
            )
        labels = labels.float().masked_fill(~mask[:, : labels.shape[1], None], float("nan"))
        return labels if self.config.track_means is None else scale_signal(labels, self.means(labels))

    def unscale(self, scaled: torch.Tensor) -> torch.Tensor:
        return scaled if self.config.track_means is None else unscale_signal(scaled, self.means(scaled))

    def means(self, like: torch.Tensor) -> torch.Tensor:
        return torch.tensor(self.config.track_means, dtype=like.dtype, device=like.device)

    @torch.no_grad()
    def _init_weights(self, module):
        if isinstance(module, TextGenomeTrackHead) and module.scale is not None:
            init.constant_(module.scale, math.log(math.e - 1))  # of which softplus makes 1
        elif isinstance(module, TextGenomeTrackOutput):
            init.normal_(module.weight, std=0.02)
            init.zeros_(module.bias)
        elif isinstance(module, nn.Conv1d):
            init.kaiming_normal_(module.weight, nonlinearity="relu")
            init.zeros_(module.bias)
        else:
            super()._init_weights(module)


__all__ = [
    "TextGenomeDNAForTrackPrediction",
    "scale_signal",
    "track_loss",
    "unscale_signal",
]
