"""Labels for each base: a head on the states of a DNA encoder, at the resolution of bases for every encoder."""

import torch
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init
from transformers.modeling_outputs import TokenClassifierOutput
from transformers.utils import can_return_tuple

from textgenome.configuration.configuration_textgenome import bases_per_state
from textgenome.configuration.configuration_textgenome_dna import TextGenomeDNAConfig
from textgenome.modeling_heads import states_to_bases
from textgenome.modeling_textgenome_dna import TextGenomeDNAModel, TextGenomeDNAPreTrainedModel


class TextGenomeBaseHead(nn.Module):
    """States to the logits of each base.

    A linear layer gives values of its own for each of the bases that a state covers: in the form `linear` the logits.
    In the form `cnn` a convolution makes a position of every `cnn_stride` bases of them, dilated convolutions follow,
    each of which adds to what it reads, and a last layer gives the logits of the bases of each position.
    """

    def __init__(self, config: TextGenomeDNAConfig):
        super().__init__()
        channels, self.stride = config.cnn_channels, config.cnn_stride
        self.state_bases, self.convolves = config.state_bases, config.base_head == "cnn"
        # Narrow states stay narrow until convolutions at every `cnn_stride` bases widen them.
        values = min(channels, config.dna_feature_size) if self.convolves else config.num_labels
        self.project = nn.Linear(config.dna_feature_size, self.state_bases * values)
        if self.convolves:
            width = max(config.cnn_kernel_size, self.stride)
            self.edge = (width - self.stride) // 2, width - self.stride - (width - self.stride) // 2
            self.gather = nn.Conv1d(values, channels, width, stride=self.stride)
            self.blocks = nn.ModuleList(
                TextGenomeDilatedConvolution(channels, config.cnn_kernel_size, dilation, config.classifier_dropout)
                for dilation in config.cnn_dilations
            )
            self.classifier = nn.Linear(channels, self.stride * config.num_labels)

    def forward(self, states: torch.Tensor, spans: torch.LongTensor) -> torch.Tensor:
        """`(batch, states, width)` and `(batch, states)` to `(batch, bases, labels)`."""
        values = spread_states(self.project(states), spans, self.state_bases)
        if not self.convolves:
            return values
        bases, known = values.shape[1], spans.sum(-1, keepdim=True)
        left, right = self.edge
        values = self.gather(F.pad(values.transpose(1, 2), (left, right + -bases % self.stride)))
        known = torch.arange(values.shape[-1], device=spans.device) * self.stride < known
        known = known[:, None].to(values.dtype)
        for block in self.blocks:
            values = block(values, known)
        logits = self.classifier(values.transpose(1, 2))
        return logits.unflatten(-1, (self.stride, -1)).flatten(1, 2)[:, :bases]


class TextGenomeDilatedConvolution(nn.Module):
    """Normalised channels, GELU and a dilated convolution, added to the input."""

    def __init__(self, channels: int, kernel_size: int, dilation: int, dropout: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1))
        padding = dilation * (kernel_size - 1) // 2
        self.convolution = nn.Conv1d(channels, channels, kernel_size, padding=padding, dilation=dilation)
        self.dropout = nn.Dropout(dropout)

    def forward(self, values: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        """`(batch, channels, bases)` to the same; `known` `(batch, 1, bases)` is 0 for padding."""
        variance, mean = torch.var_mean(values, 1, correction=0, keepdim=True)
        normal = (values - mean) * torch.rsqrt(variance + 1e-5) * self.weight + self.bias
        # Padding is 0 as outside of a sequence: what a base is told depends on no neighbour in the batch.
        return values + self.dropout(self.convolution(F.gelu(normal) * known))


def spread_states(values: torch.Tensor, spans: torch.LongTensor, state_bases: int) -> torch.Tensor:
    """Values that each state has for its bases, one after the other, to the bases.

    Args:
        values (`torch.Tensor`): `(batch, states, state_bases * channels)`.
        spans (`torch.LongTensor` of shape `(batch, states)`): How many bases each state covers, 0 for padding.
        state_bases (`int`): Most of them.

    Returns:
        `(batch, bases, channels)`, 0 after the last base of a row.

    Raises:
        ValueError: If a state covers more bases.
    """
    if int(spans.max()) > state_bases:
        raise ValueError(
            f"A state covers {int(spans.max())} bases, but the head has values for {state_bases}: `state_bases` of "
            "the configuration must be the most that one covers."
        )
    each = values.unflatten(-1, (state_bases, -1)).flatten(1, 2)
    given = torch.arange(state_bases, device=spans.device) < spans[..., None]
    return states_to_bases(each, given.flatten(1).long())


class TextGenomeDNAForTokenClassification(TextGenomeDNAPreTrainedModel):
    """Labels of each base of a sequence: several of them at once, or one of several classes.

    The configuration says by `base_head` what the head is, and by `problem_type` (`multi_label_classification` by
    default, or `single_label_classification`) what the labels are.

    Args:
        config (`TextGenomeDNAConfig`): Of the encoder and the head; its `id2label` names the labels.

    Example:

        model = AutoModelForTokenClassification.from_pretrained("outputs/annotation")
        model(**processor("GATTACAGCAT", return_tensors="pt")).logits.sigmoid()  # (1, 11, labels)
    """

    auto_class_names = ("AutoModelForTokenClassification",)
    # New weights move by less than bfloat16 can tell apart.
    _keep_in_fp32_modules_strict = ["base_head"]

    def __init__(self, config: TextGenomeDNAConfig):
        config.num_sequences = 1
        super().__init__(config)
        self.model = TextGenomeDNAModel(config)
        self.base_head = TextGenomeBaseHead(config)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module):
        if isinstance(module, TextGenomeDilatedConvolution):
            init.ones_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, nn.Conv1d):
            init.kaiming_normal_(module.weight, nonlinearity="linear")
            init.zeros_(module.bias)
        else:
            super()._init_weights(module)

    @can_return_tuple
    def forward(
        self,
        dna_input_ids: torch.LongTensor,
        dna_attention_mask: torch.Tensor,
        dna_spans: torch.LongTensor | None = None,
        labels: torch.Tensor | None = None,
        dna_inputs_embeds: torch.Tensor | None = None,
    ) -> TokenClassifierOutput:
        """Label the bases of one sequence a row.

        Args:
            dna_input_ids (`torch.LongTensor`): `(batch, 1, dna_length)`.
            dna_attention_mask (`torch.Tensor`): Same shape, 1 for DNA tokens and 0 for padding, on either side.
            dna_spans (`torch.LongTensor`, *optional*): Same shape, how many bases each token covers, 0 for padding.
                May be left out where each token is a base.
            labels (`torch.Tensor`, *optional*): Of several labels a base `(batch, bases, num_labels)`, 0 or 1, or -100
                where a label is unknown. Of one class a base `(batch, bases)`, int64, or -100.
            dna_inputs_embeds (`torch.Tensor`, *optional*): See `TextGenomeDNAModel.forward`.

        Returns:
            `logits` of shape `(batch, bases, num_labels)`, float32, from the first base of each sequence on and 0
            after its last one; `bases` is that of the longest. With labels also `loss`, the mean over the known ones.

        Raises:
            ValueError: If rows have no single sequence, or labels another number of bases.
        """
        if dna_input_ids.dim() != 3 or dna_input_ids.shape[1] != 1 or not dna_attention_mask.any(-1).all():
            raise ValueError(
                "`dna_input_ids` must hold one sequence for each row, as (batch, 1, dna_length), got "
                f"{tuple(dna_input_ids.shape)}" + (" with an empty sequence." if dna_input_ids.dim() == 3 else ".")
            )
        if dna_spans is None and self.config.state_bases == bases_per_state(self.config.dna_config):
            dna_spans = dna_attention_mask.long()
        if dna_spans is None:
            raise ValueError("`dna_spans` is needed where tokens are several bases; the processor gives it.")
        output = self.model(dna_input_ids, dna_attention_mask, dna_spans, dna_inputs_embeds)
        states, spans = output.last_hidden_state[:, 0], output.state_spans[:, 0]
        logits = self.base_head(states.to(self.base_head.project.weight.dtype), spans).float()
        loss = None
        if labels is not None:
            if labels.shape[:2] != logits.shape[:2]:
                raise ValueError(
                    f"`labels` are for {labels.shape[0]} rows of {labels.shape[1]} bases, but the longest of "
                    f"{logits.shape[0]} sequences has {logits.shape[1]}."
                )
            loss = self.compute_loss(logits, labels)
        return TokenClassifierOutput(loss=loss, logits=logits)

    def compute_loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Cross entropy or binary cross entropy of the known labels, weighted by `class_weights` and, if `focal_gamma`
        is not 0, by (1 - p)^gamma, with p the probability of what is true (Lin et al., arXiv 1708.02002).

        The mean is over weights, so that a batch of one rare class is no larger than others.
        """
        weights, known = self.config.class_weights, labels != -100
        weights = torch.ones(1) if weights is None else torch.tensor(weights, dtype=logits.dtype)
        weights = weights.to(logits.device).expand(logits.shape[-1])
        if self.config.problem_type == "single_label_classification":
            losses = F.cross_entropy(logits[known], labels[known], reduction="none")
            weights = weights[labels[known]]
        else:
            truth = labels[known].to(logits.dtype)
            losses = F.binary_cross_entropy_with_logits(logits[known], truth, reduction="none")
            weights = torch.where(truth > 0, weights.expand_as(logits)[known], torch.ones_like(truth))
        total = weights.sum().clamp(min=1e-9)
        if self.config.focal_gamma:
            weights = weights * (1 - torch.exp(-losses)) ** self.config.focal_gamma
        return (weights * losses).sum() / total


__all__ = ["TextGenomeBaseHead", "TextGenomeDNAForTokenClassification", "spread_states"]
