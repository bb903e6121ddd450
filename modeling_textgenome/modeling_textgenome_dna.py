"""The DNA family: a DNA encoder without a language model, alone or with a head."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutput, SequenceClassifierOutput
from transformers.utils import can_return_tuple

from textgenome.configuration.configuration_textgenome import bases_per_state
from textgenome.configuration.configuration_textgenome_dna import TextGenomeDNAConfig
from textgenome.modeling_dna_encoder import (
    DNAEncoderMixin,
    EncodedDNA,
    SavesModelCodeMixin,
    build_dna_encoder,
    find_order,
    load_dna_encoder,
    without_heads,
)
from textgenome.modeling_heads import (
    TextGenomeAttentionPooling,
    TextGenomeCenterPooling,
    TextGenomePairPooling,
    TextGenomeTower,
    TextGenomeTowerConv,
    find_changed_tokens,
    huber_with_pairs,
    pool_bins,
    pool_states,
    states_to_bases,
)


@dataclass
class TextGenomeDNAModelOutput(BaseModelOutput):
    """Output of `TextGenomeDNAModel`.

    Args:
        last_hidden_state: `(batch, sequences, states, width)`, 0 where there is no state.
        state_spans (`torch.LongTensor` of shape `(batch, sequences, states)`, *optional*): How many bases each state
            covers, if `dna_spans` were given.
    """

    state_spans: torch.LongTensor | None = None


class TextGenomeDNAPreTrainedModel(SavesModelCodeMixin, PreTrainedModel):
    """What the models of the family share. A model with a head holds a `TextGenomeDNAModel` as `model`."""

    config: TextGenomeDNAConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = _supports_attention_backend = True

    @torch.no_grad()
    def _init_weights(self, module):
        if isinstance(module, TextGenomeAttentionPooling):
            init.normal_(module.query)
        elif isinstance(module, TextGenomePairPooling):
            # Twice the larger one at first, as in Enformer.
            init.copy_(module.weight, 2 * torch.eye(len(module.weight))[..., None])
        elif isinstance(module, TextGenomeTowerConv):
            # Centred states are small, and what is made of them by small weights is lost in the epsilon of the norms.
            init.kaiming_uniform_(module.weight, nonlinearity="relu")
            init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            # By their width: a pooled sequence differs little from the next, and smaller weights would hide it.
            init.kaiming_normal_(module.weight, nonlinearity="relu")
            init.zeros_(module.bias)
        else:
            super()._init_weights(module)

    @classmethod
    def from_dna_pretrained(
        cls,
        dna_model: str | PreTrainedModel,
        dtype: str | torch.dtype | None = None,
        attn_implementation: str | None = None,
        **config_overrides,
    ) -> "TextGenomeDNAPreTrainedModel":
        """Put a new head, if the class has one, on a pretrained DNA encoder.

        Args:
            dna_model (`str` or `PreTrainedModel`): Hub id, folder, or the model itself.
            dtype (`str` or `torch.dtype`, *optional*): Data type of the encoder, by default that of its checkpoint;
                the head is float32.
            attn_implementation (`str`, *optional*): Of the encoder, e.g. `sdpa`.
            config_overrides: Fields of `TextGenomeDNAConfig`, such as `id2label`.
        """
        if isinstance(dna_model, str):
            dna_model = load_dna_encoder(dna_model, dtype=dtype or "auto", attn_implementation=attn_implementation)
        dna_model = without_heads(dna_model)
        config = TextGenomeDNAConfig(dna_config=dna_model.config, **config_overrides)
        # On the meta device, or the random weights of the encoder would take its memory a second time.
        with torch.device("meta"):
            model = cls(config)
        model.base_model.dna_encoder = dna_model
        config.dtype = dna_model.dtype
        for part in model.children():
            if part is not dna_model and part is not model.base_model:
                part.to_empty(device=dna_model.device).float()
                part.apply(model._init_weights)
        return model.eval()


class TextGenomeDNAModel(DNAEncoderMixin, TextGenomeDNAPreTrainedModel):
    """A DNA encoder without a head, which returns the states that the configuration selects.

    Args:
        config (`TextGenomeDNAConfig`): Of the encoder, and of the features to take from it.

    Example:

        config = TextGenomeDNAConfig(
            dna_config={"model_type": "hyenadna", "d_model": 8, "d_inner": 16, "n_layer": 1, "max_seq_len": 64}
        )
        model = TextGenomeDNAModel(config)
        ids = torch.tensor([[[7, 8, 9, 10], [7, 8, 9, 7]]])  # (batch, sequences, dna_length)
        states = model(ids, torch.ones_like(ids)).last_hidden_state  # (1, 2, 4, 8)
    """

    def __init__(self, config: TextGenomeDNAConfig):
        super().__init__(config)
        self.dna_encoder = build_dna_encoder(config.dna_config, config.dna_feature_module)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        dna_input_ids: torch.LongTensor,
        dna_attention_mask: torch.Tensor,
        dna_spans: torch.LongTensor | None = None,
        dna_inputs_embeds: torch.Tensor | None = None,
    ) -> TextGenomeDNAModelOutput:
        """Encode the sequences of all rows in one pass of the encoder, equal ones once.

        Args:
            dna_input_ids (`torch.LongTensor`): `(batch, sequences, dna_length)`.
            dna_attention_mask (`torch.Tensor`): Same shape, 1 for DNA tokens and 0 for padding, on either side. All 0
                where a row has fewer sequences than others.
            dna_spans (`torch.LongTensor`, *optional*): Same shape, how many bases each token covers, 0 for padding.
            dna_inputs_embeds (`torch.Tensor` of shape `(batch, sequences, dna_length, width)`, *optional*): In place
                of what the encoder's embedding gives for `dna_input_ids`. If they require gradients, these flow also
                through a frozen encoder.

        Returns:
            `last_hidden_state` of shape `(batch, sequences, states, width)`, and `state_spans`. Each state is
            at the place of its token. States that cover several tokens are on the left, as many as the longest
            sequence has.
        """
        mask = dna_attention_mask.bool()
        present, step = mask.any(-1), bases_per_state(self.config.dna_config)
        embeds = None if dna_inputs_embeds is None else dna_inputs_embeds[present]
        encoded = self.encode_distinct_dna(dna_input_ids[present], mask[present], embeds)
        places, given = encoded.order, mask
        if step > 1:
            if dna_spans is not None:
                spans = dna_spans.gather(-1, find_order(mask))
                dna_spans = F.pad(spans, (0, -spans.shape[-1] % step)).unflatten(-1, (-1, step)).sum(-1)
                dna_spans = dna_spans[..., : places.shape[1]]
            places = torch.arange(places.shape[1], device=places.device).expand_as(places)
            given = mask.sum(-1, keepdim=True) > step * places[0]
        states = encoded.states.new_zeros(*given.shape, encoded.states.shape[-1])
        places = places[..., None].expand(-1, -1, states.shape[-1])
        states[present] = states[present].scatter(1, places, encoded.states[encoded.index])
        return TextGenomeDNAModelOutput(last_hidden_state=states * given[..., None], state_spans=dna_spans)


class TextGenomeDNAForSequenceClassification(TextGenomeDNAPreTrainedModel):
    """Predicts a class, several labels or a value for a sequence, or for a pair of reference and variant.

    The states of each sequence are pooled (see `TextGenomeDNAConfig`), those of a pair are concatenated, and two
    linear layers follow. The default, attention pooling of pairs, is the model of DNA alone that the Genos text-genome
    fusion is compared with.

    Args:
        config (`TextGenomeDNAConfig`): Of the encoder and the head; its `id2label` names the classes.

    Example:

        model = AutoModelForSequenceClassification.from_pretrained("outputs/dna_starter")
        logits = model(**processor(reference, variant, return_tensors="pt")).logits  # (1, classes)
        model.config.id2label[logits.argmax().item()]
    """

    auto_class_names = ("AutoModelForSequenceClassification",)
    # New weights move by less than bfloat16 can tell apart.
    _keep_in_fp32_modules_strict = ["pooling", "classifier"]

    def __init__(self, config: TextGenomeDNAConfig):
        super().__init__(config)
        width = config.dna_feature_size
        self.model = TextGenomeDNAModel(config)
        hidden = width
        if config.pooling == "attention":
            self.pooling = TextGenomeAttentionPooling(width, config.pooling_num_heads)
        elif config.pooling == "tower":
            self.pooling, width, hidden = TextGenomeTower(width), TextGenomeTower.width, 258
        elif config.pooling == "center":
            self.pooling = TextGenomeCenterPooling(width, config.center_states)
        vectors = 1 if config.pooling == "site_difference" or config.combine == "mean" else config.num_sequences
        vectors *= config.pooling_bins
        self.classifier = nn.Sequential(
            nn.Linear(vectors * width, hidden),
            nn.ReLU(),
            nn.Dropout(config.classifier_dropout),
            nn.Linear(hidden, config.num_labels),
        )
        if config.pooling == "center":
            self.classifier = nn.Linear(vectors * width, config.num_labels)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        dna_input_ids: torch.LongTensor | None = None,
        dna_attention_mask: torch.Tensor | None = None,
        dna_spans: torch.LongTensor | None = None,
        labels: torch.Tensor | None = None,
        dna_inputs_embeds: torch.Tensor | None = None,
        dna_features: torch.Tensor | None = None,
        dna_windows: torch.LongTensor | None = None,
        groups: torch.LongTensor | None = None,
        dna_vectors: torch.Tensor | None = None,
    ) -> SequenceClassifierOutput:
        """Classify sequences or pairs of them, all in one pass of the encoder.

        Args:
            dna_input_ids (`torch.LongTensor` of shape `(batch, num_sequences, dna_length)`, *optional*): The sequence;
                or the reference, and the variant; or the two haplotypes of a person.
            dna_attention_mask (`torch.Tensor`, *optional*): Same shape, 1 for DNA tokens and 0 for padding, on either
                side.
            dna_spans (`torch.LongTensor`, *optional*): Same shape, how many bases each token covers; read where the
                configuration has a `state_bin`.
            labels (`torch.Tensor`, *optional*): By `problem_type` of the configuration: the class of each row, int64
                of shape `(batch,)`, or -100 for none of them: such a row has no loss. Of several labels a row, 0 or 1
                for each, float of shape `(batch, num_labels)`. Of a regression the value, float of shape `(batch,)`.
            dna_inputs_embeds (`torch.Tensor`, *optional*): See `TextGenomeDNAModel.forward`.
            dna_features (`torch.Tensor`, *optional*): In place of the ids, states of distinct windows, averaged over
                `state_bin` bases: `(windows, states, width)`.
            dna_windows (`torch.LongTensor` of shape `(batch, num_sequences)`, *optional*): Int64: with them, which of
                the windows each row has.
            groups (`torch.LongTensor` of shape `(batch,)`, *optional*): Int64: rows of one group are compared by
                `pair_loss`, as people by a gene.
            dna_vectors (`torch.Tensor`, *optional*): In place of the ids, what `encode_and_pool` has made of the rows,
                `(batch, vectors, width)`.

        Returns:
            `logits` of shape `(batch, num_labels)`, float32, of a regression in the unit of the labels. With labels
            also `loss`, the mean over rows of cross entropy, binary cross entropy or the squared error, and of a
            regression with `tower` or `center` that of `huber_with_pairs`.

        Raises:
            ValueError: If rows have another number of sequences than the model was made for, or an empty one; or if
                sequences differ in length where `tower` or `center` pools them.
        """
        if dna_vectors is not None:
            vectors = dna_vectors.flatten(0, 1)
            index = torch.arange(len(vectors), device=vectors.device).view(len(dna_vectors), -1)
        elif dna_features is not None:
            there = torch.ones(dna_features.shape[:2], dtype=torch.bool, device=dna_features.device)
            vectors, index = self.pool(dna_features, there), dna_windows
        else:
            self.check_sequences(dna_input_ids, dna_attention_mask)
            mask = dna_attention_mask.bool()
            vectors, index = self.encode_and_pool(dna_input_ids, mask, dna_spans, dna_inputs_embeds)
        logits = self.classify(vectors, index).float()
        if self.config.problem_type == "regression":
            logits = logits * self.config.label_scale + self.config.label_mean
        return SequenceClassifierOutput(
            loss=None if labels is None else self.compute_loss(logits, labels, groups), logits=logits
        )

    def check_sequences(self, input_ids: torch.LongTensor, mask: torch.Tensor) -> None:
        """Raise ValueError for rows with another number of sequences than the model was made for."""
        count = self.config.num_sequences
        if input_ids.dim() != 3 or input_ids.shape[1] != count or not mask.any(-1).all():
            what = "a reference and a variant" if count == 2 else "one sequence"
            raise ValueError(
                f"`dna_input_ids` must hold {what} for each row, as (batch, {count}, dna_length), got "
                f"{tuple(input_ids.shape)}" + (" with an empty sequence." if input_ids.dim() == 3 else ".")
            )

    def encode_and_pool(
        self,
        input_ids: torch.LongTensor,
        mask: torch.Tensor,
        spans: torch.LongTensor | None,
        inputs_embeds: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.LongTensor | None]:
        """Vectors, `(vectors, width)`, and which of them each row has, `(batch, num_sequences)`; None where there is
        one a row."""
        embeds = None if inputs_embeds is None else inputs_embeds.flatten(0, 1)
        encoded = self.model.encode_distinct_dna(input_ids.flatten(0, 1), mask.flatten(0, 1), embeds)
        if self.config.pooling == "site_difference":
            return self.pool_site(encoded, input_ids, mask), None
        states, there = encoded.states, encoded.tokens >= 0
        if self.config.state_bin is not None:
            states, there = self.average_bins(encoded, spans.flatten(0, 1))
        return self.pool(states, there), encoded.index.view(len(input_ids), -1)

    def average_bins(self, encoded: EncodedDNA, spans: torch.LongTensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The states of distinct sequences, averaged over `state_bin` bases, and where there are any.

        `spans` are those of the tokens of all sequences, `(sequences, length)`.
        """
        spans = spans.gather(1, encoded.order) * bases_per_state(self.config.dna_config)
        distinct = torch.arange(len(encoded.states), device=spans.device)
        spans = spans[(encoded.index == distinct[:, None]).long().argmax(1)]
        states = states_to_bases(encoded.states, spans, self.config.state_bin)
        places = torch.arange(states.shape[1], device=spans.device) * self.config.state_bin
        return states, places < spans.sum(1, keepdim=True)

    def classify(self, vectors: torch.Tensor, index: torch.LongTensor | None) -> torch.Tensor:
        """The outputs of the head, `(batch, num_labels)`, of what `encode_and_pool` returns."""
        vectors = vectors.to(next(self.classifier.parameters()).dtype)
        if index is None:
            return self.classifier(vectors)
        if self.config.combine == "mean":
            return self.classifier(vectors)[index].mean(1)
        return self.classifier(vectors[index].flatten(1))

    def pool(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`(sequences, states, width)` to `(sequences, width)`."""
        if self.config.pooling == "attention":
            return self.pooling(states.to(self.pooling.query.dtype), mask)
        if self.config.pooling in ("tower", "center"):
            if not mask.all():
                raise ValueError(f"The pooling {self.config.pooling!r} needs sequences that are all of one length.")
            return self.pooling(states.float())
        return pool_bins(states, mask, self.config.pooling, self.config.pooling_bins)

    def pool_site(self, encoded: EncodedDNA, input_ids: torch.LongTensor, mask: torch.Tensor) -> torch.Tensor:
        """The mean of the variant's states at the changed site less that of the reference's: `(batch, width)`."""
        order = find_order(mask)
        start, stop = find_changed_tokens(input_ids.gather(-1, order).masked_fill(~mask.gather(-1, order), -1))
        step = bases_per_state(self.config.dna_config)
        places = torch.arange(encoded.states.shape[1], device=mask.device)
        site = (places >= start[..., None] // step) & (places <= (stop[..., None] - 1) // step)
        pooled = pool_states(encoded.states[encoded.index], site.flatten(0, 1), "mean").view(*start.shape, -1)
        return pooled[:, 1] - pooled[:, 0]

    def compute_loss(
        self, logits: torch.Tensor, labels: torch.Tensor, groups: torch.LongTensor | None = None
    ) -> torch.Tensor:
        """As transformers has it for each `problem_type`, but 0 where no row has a class."""
        weights = self.config.class_weights
        weights = None if weights is None else torch.tensor(weights, dtype=logits.dtype, device=logits.device)
        if self.config.problem_type == "regression" and self.config.pooling in ("tower", "center"):
            return huber_with_pairs(logits.squeeze(-1), labels.to(logits.dtype), groups, self.config.pair_loss)
        if self.config.problem_type == "regression":
            return F.mse_loss(logits.squeeze(-1), labels.to(logits.dtype))
        if self.config.problem_type == "multi_label_classification":
            return F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype), pos_weight=weights)
        known = labels != -100
        total = known.sum().clamp(min=1) if weights is None else weights[labels[known]].sum().clamp(min=1e-9)
        return F.cross_entropy(logits, labels, weights, reduction="sum") / total


__all__ = [
    "TextGenomeDNAForSequenceClassification",
    "TextGenomeDNAModel",
    "TextGenomeDNAModelOutput",
    "TextGenomeDNAPreTrainedModel",
]
