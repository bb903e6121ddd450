"""TextGenome: a DNA encoder, a projector and a language model for the Auto classes."""

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import nn
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    Cache,
    GenerationMixin,
    PreTrainedModel,
)
from transformers.modeling_outputs import BaseModelOutputWithPast, BaseModelOutputWithPooling, CausalLMOutputWithPast
from transformers.processing_utils import Unpack
from transformers.utils import can_return_tuple
from transformers.utils.generic import TransformersKwargs

from textgenome.configuration.configuration_textgenome import TextGenomeConfig
from textgenome.modeling_cache import CACHE_NAME
from textgenome.modeling_dna_encoder import (
    DNAEncoderMixin,
    SavesModelCodeMixin,
    build_dna_encoder,
    find_order,
    load_dna_encoder,
    without_heads,
)
from textgenome.modeling_projector import PROJECTORS


@dataclass
class TextGenomeModelOutputWithPast(BaseModelOutputWithPast):
    """Output of `TextGenomeModel`.

    Args:
        dna_hidden_states (`torch.Tensor` of shape `(placeholders, hidden_size)`, *optional*): The projected DNA
            features in reading order.
    """

    dna_hidden_states: torch.Tensor | None = None


@dataclass
class TextGenomeCausalLMOutputWithPast(CausalLMOutputWithPast):
    """Output of `TextGenomeForConditionalGeneration`.

    Args:
        dna_hidden_states (`torch.Tensor` of shape `(placeholders, hidden_size)`, *optional*): The projected DNA
            features in reading order.
    """

    dna_hidden_states: torch.Tensor | None = None


@dataclass
class TextGenomeDNAOutput(BaseModelOutputWithPooling):
    """Output of `get_dna_features`.

    Args:
        last_hidden_state: `(distinct sequences, dna_length, dna_hidden_size)`, what the encoder makes of them.
        pooler_output: `(placeholders, hidden_size)`, the projected features in reading order.
        num_features (`torch.LongTensor` of shape `(batch,)`, *optional*): How many of them each sample has.
    """

    num_features: torch.LongTensor | None = None


class TextGenomePreTrainedModel(SavesModelCodeMixin, PreTrainedModel):
    config: TextGenomeConfig
    base_model_prefix = "model"
    input_modalities = ("text",)
    supports_gradient_checkpointing = True
    _skip_keys_device_placement = ["past_key_values", "cache"]
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True

    @property
    def is_gradient_checkpointing(self) -> bool:
        # PEFT and TRL ask by this name, for which the library's own property warns.
        return any(getattr(module, "gradient_checkpointing", False) for module in self.modules())


class TextGenomeModel(DNAEncoderMixin, TextGenomePreTrainedModel):
    """The fused model without the language model's head.

    Args:
        config (`TextGenomeConfig`): Of the DNA encoder, the projector and the language model.

    Example:

        config = TextGenomeConfig(
            text_config={"model_type": "qwen3", "vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 1},
            dna_config={"model_type": "hyenadna", "d_model": 8, "d_inner": 16, "n_layer": 1, "max_seq_len": 64},
            dna_token_id=37,
            dna_start_token_id=38,
            dna_end_token_id=39,
        )
        model = TextGenomeModel(config)
        states = model(input_ids=torch.arange(4)[None]).last_hidden_state  # (1, 4, 16)
    """

    def __init__(self, config: TextGenomeConfig):
        super().__init__(config)
        self.dna_encoder = build_dna_encoder(config.dna_config, config.dna_feature_module)
        self.projector = PROJECTORS[config.projector_type](config)
        # Embeddings of `<|dna_start|>` and `<|dna_end|>`. They are no rows of the language model's embedding, so that
        # an adapter can train and carry them without touching a matrix that may be tied to the head.
        self.dna_markers = nn.Embedding(2, config.text_config.hidden_size)
        self.language_model = AutoModel.from_config(config.text_config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.language_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.language_model.set_input_embeddings(value)

    def get_dna_features(
        self,
        dna_input_ids: torch.LongTensor,
        dna_attention_mask: torch.Tensor,
        dna_pool_ids: torch.LongTensor | None = None,
        dna_inputs_embeds: torch.Tensor | None = None,
    ) -> TextGenomeDNAOutput:
        """Encode and project DNA. Equal sequences are encoded once; a frozen encoder builds no graph.

        Args:
            dna_input_ids (`torch.LongTensor`): `(batch, sequences, dna_length)`.
            dna_attention_mask (`torch.Tensor`): Same shape, 1 for DNA tokens. Padding may be on either side, and
                sequences without any token only fill up the batch.
            dna_pool_ids (`torch.LongTensor`, *optional*): Same shape, for the `pooled` projector: which placeholder of
                its sequence each token goes into, counted from 0.
            dna_inputs_embeds (`torch.Tensor` of shape `(batch, sequences, dna_length, dna_width)`, *optional*): In
                place of what the encoder's embedding gives for `dna_input_ids`. If they require gradients, these flow
                also through a frozen encoder.
        """
        batch, slots = dna_attention_mask.shape[:2]
        # By number, which the device is waited for once, and not by a mask, for which it is each time.
        present = dna_attention_mask.any(-1).flatten().nonzero()[:, 0]
        ids, mask, pool_ids, embeds = (
            None if each is None else each.flatten(0, 1)[present]
            for each in (dna_input_ids, dna_attention_mask, dna_pool_ids, dna_inputs_embeds)
        )
        encoded = self.encode_distinct_dna(ids, mask, embeds)
        # Not in the type of quantized weights, which is not the one that is computed in.
        wide = (each.dtype for each in self.projector.parameters() if each.is_floating_point() and each.itemsize > 1)
        index, states = encoded.index, encoded.states.to(next(wide, encoded.states.dtype))
        hidden = torch.tensor(self.config.dna_hidden_token_ids or [], dtype=torch.long, device=states.device)
        shown = (encoded.tokens >= 0) & ~torch.isin(encoded.tokens, hidden)
        if pool_ids is None:
            features, is_feature = self.projector(states, shown)
            features, is_feature = features[index], is_feature[index]
        else:
            # Equal sequences may occur beside different variants, and be pooled in different places.
            features, is_feature = self.projector(states[index], shown[index], pool_ids.gather(1, encoded.order))
        counts = present.new_zeros(batch).index_add(0, present // slots, is_feature.sum(1))
        shown = features.flatten(0, 1).index_select(0, is_feature.flatten().nonzero()[:, 0])
        return TextGenomeDNAOutput(last_hidden_state=states, pooler_output=shown, num_features=counts)

    def get_token_mask(
        self, token_id: int | None, input_ids: torch.LongTensor | None, inputs_embeds: torch.Tensor
    ) -> torch.Tensor:
        """Where the prompt holds the token: `(batch, length)`, bool. Without ids, by its embedding."""
        if token_id is None:
            return torch.zeros(inputs_embeds.shape[:2], dtype=torch.bool, device=inputs_embeds.device)
        if input_ids is not None:
            return input_ids == token_id
        token = torch.tensor(token_id, device=inputs_embeds.device)
        return (inputs_embeds == self.get_input_embeddings()(token)).all(-1)

    def insert_dna(
        self,
        input_ids: torch.LongTensor | None,
        inputs_embeds: torch.Tensor,
        dna_input_ids: torch.LongTensor | None,
        dna_attention_mask: torch.Tensor | None,
        dna_pool_ids: torch.LongTensor | None = None,
        num_cached_dna_features: torch.LongTensor | None = None,
        dna_inputs_embeds: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Put the DNA features and the learnt markers into the prompt.

        Args: those of `forward`.

        Returns:
            The embeddings `(batch, length, hidden_size)`, and the features `(placeholders, hidden_size)` if any.

        Raises:
            ValueError: If the prompt has placeholders and there is not DNA, or their numbers differ.
        """
        placeholders = self.get_token_mask(self.config.dna_token_id, input_ids, inputs_embeds)
        features = None
        if dna_input_ids is not None and dna_attention_mask is None:
            raise ValueError("`dna_input_ids` needs `dna_attention_mask`: without it padding would pass for DNA.")
        if dna_input_ids is not None and dna_attention_mask.any():
            outputs = self.get_dna_features(dna_input_ids, dna_attention_mask, dna_pool_ids, dna_inputs_embeds)
            features, counts = outputs.pooler_output, outputs.num_features.to(placeholders.device)
            found = placeholders.sum(1)
            if num_cached_dna_features is not None and not torch.equal(found, counts):
                features = without_first(features, counts, num_cached_dna_features)
                counts = counts - num_cached_dna_features
            for row in (found != counts).nonzero().flatten().tolist():
                raise ValueError(
                    f"DNA features and DNA tokens do not match in row {row}, tokens: {found[row]}, features: "
                    f"{counts[row]}. With a cache, pass tokens and DNA of the whole conversation, or of what is new."
                )
        elif placeholders.any():
            raise ValueError(
                "`input_ids` holds DNA placeholders but `dna_input_ids` was not passed. Make inputs by the processor: "
                'of pipelines take "any-to-any", since "text-generation" only tokenizes, and in training the collator '
                "of textgenome, since the default one of SFTTrainer drops the DNA."
            )
        elif self.training:
            # A rank whose batch holds no DNA still has to join the collectives of the encoder and the projector, here
            # and not later: ZeRO gathers weights and adds up gradients in the order in which each rank comes to them.
            token = torch.ones((1, 1, 1), dtype=torch.long, device=inputs_embeds.device)
            features = self.get_dna_features(token, token, torch.zeros_like(token)).pooler_output[:0]

        start = self.get_token_mask(self.config.dna_start_token_id, input_ids, inputs_embeds)
        end = self.get_token_mask(self.config.dna_end_token_id, input_ids, inputs_embeds)
        markers = self.dna_markers(torch.arange(2, device=start.device)).to(inputs_embeds.device, inputs_embeds.dtype)
        for marked, marker in zip((start, end), markers):
            inputs_embeds = torch.where(marked[..., None], marker, inputs_embeds)
        if features is not None:
            features = features.to(inputs_embeds.device, inputs_embeds.dtype)
            # As many as there are features: by a mask, gradients would wait for the device once more.
            places = find_order(placeholders.flatten())[: len(features)]
            inputs_embeds = inputs_embeds.flatten(0, 1).index_copy(0, places, features).view_as(inputs_embeds)
        return inputs_embeds, features

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        use_cache: bool | None = None,
        dna_input_ids: torch.LongTensor | None = None,
        dna_attention_mask: torch.Tensor | None = None,
        dna_pool_ids: torch.LongTensor | None = None,
        cache: Cache | None = None,
        num_cached_dna_features: torch.LongTensor | None = None,
        dna_inputs_embeds: torch.Tensor | None = None,
        kept_positions: torch.LongTensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> TextGenomeModelOutputWithPast:
        """Encode the DNA, put its features in place of the placeholders, and run the language model.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, length)`, *optional*): Text tokens with one placeholder for
                every DNA token.
            attention_mask (`torch.Tensor` of shape `(batch, length)`, *optional*): 1 for tokens and 0 for padding.
            position_ids (`torch.LongTensor`, *optional*): `(batch, length)`.
            past_key_values (`Cache`, *optional*): The same as `cache`, by the name that it has before transformers
                5.24.
            inputs_embeds (`torch.Tensor` of shape `(batch, length, hidden_size)`, *optional*): In place of
                `input_ids`.
            use_cache (`bool`, *optional*): Whether to return the cache.
            dna_input_ids (`torch.LongTensor` of shape `(batch, sequences, dna_length)`, *optional*): The DNA of each
                sample.
            dna_attention_mask (`torch.Tensor`, *optional*): Same shape, 1 for DNA tokens and 0 for padding.
            dna_pool_ids (`torch.LongTensor`, *optional*): Same shape, only for the `pooled` projector.
            cache (`Cache`, *optional*): The cache of the language model.
            num_cached_dna_features (`torch.LongTensor` of shape `(batch,)`, *optional*): How many of the first DNA
                features of each sample the cache holds already. For DNA of a whole conversation; by default it is that
                of `input_ids` only.
            dna_inputs_embeds (`torch.Tensor` of shape `(batch, sequences, dna_length, dna_width)`, *optional*): See
                `get_dna_features`; `dna_input_ids` is given beside it.
            kept_positions (`torch.LongTensor` of shape `(kept,)`, *optional*): For training on rows that are padded on
                the right: which of the `batch * length` positions `last_hidden_state`, of shape `(1, kept,
                hidden_size)`, is to have. These see no padding, so that `attention_mask` is not needed.

        Raises:
            ValueError: If placeholders and DNA do not match, one comes without the other, or documents are packed into
                a row, as `position_ids` that start anew tell, without `use_cache=False`.
        """
        if (input_ids is None) ^ (inputs_embeds is not None):
            raise ValueError("You must specify exactly one of input_ids or inputs_embeds")
        if inputs_embeds is None:
            inputs_embeds = self.get_input_embeddings()(input_ids)

        cache = past_key_values if cache is None else cache
        if position_ids is not None and attention_mask is None and cache is None and use_cache is not False:
            check_not_packed(position_ids)
        dna_features = None
        # Past the prompt a decoding step holds one token and no DNA.
        is_prompt = cache is None or cache.get_seq_length() == 0 or inputs_embeds.shape[1] > 1
        if is_prompt or dna_input_ids is not None:
            dna = (dna_input_ids, dna_attention_mask, dna_pool_ids, num_cached_dna_features, dna_inputs_embeds)
            inputs_embeds, dna_features = self.insert_dna(input_ids, inputs_embeds, *dna)

        outputs = self.language_model(
            inputs_embeds=inputs_embeds,
            # Without a mask attention runs in the kernel that skips what comes later.
            attention_mask=attention_mask if kept_positions is None else None,
            position_ids=position_ids,
            use_cache=use_cache,
            return_dict=True,
            **{CACHE_NAME: cache},
            **kwargs,
        )
        states = outputs.last_hidden_state
        return TextGenomeModelOutputWithPast(
            last_hidden_state=states if kept_positions is None else states.flatten(0, 1)[kept_positions][None],
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            dna_hidden_states=dna_features,
            **{CACHE_NAME: outputs.get(CACHE_NAME)},
        )


class TextGenomeForConditionalGeneration(TextGenomePreTrainedModel, GenerationMixin):
    """The fused model with the language model's head: it reads DNA and text and writes text.

    Args:
        config (`TextGenomeConfig`): Of the DNA encoder, the projector and the language model.

    Example:

        model = AutoModelForMultimodalLM.from_pretrained("outputs/starter")
        tokens = model.generate(**inputs, max_new_tokens=64)  # inputs of `TextGenomeProcessor`
        answer = processor.decode(tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    """

    auto_class_names = ("AutoModelForMultimodalLM", "AutoModel", "AutoModelForCausalLM", "AutoModelForImageTextToText")

    # Where the head is tied to. Set for each instance, since language models name their embedding differently.
    _tied_weights_keys = {"lm_head.weight": "model.language_model.embed_tokens.weight"}

    def __init__(self, config: TextGenomeConfig):
        super().__init__(config)
        self.model = TextGenomeModel(config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size, bias=False)
        embedding = self.model.get_input_embeddings()
        name = next(name for name, module in self.model.named_modules() if module is embedding)
        self._tied_weights_keys = {"lm_head.weight": f"model.{name}.weight"}
        dna_tokens = [config.dna_token_id, config.dna_start_token_id, config.dna_end_token_id]
        if None not in dna_tokens:
            self.generation_config.suppress_tokens = dna_tokens  # the model reads DNA, it does not write it
        self.post_init()

    @classmethod
    def from_text_dna_pretrained(
        cls,
        text_model: str | PreTrainedModel,
        dna_model: str | PreTrainedModel,
        dtype: str | torch.dtype | None = None,
        attn_implementation: str | None = None,
        **config_overrides,
    ) -> "TextGenomeForConditionalGeneration":
        """Join a pretrained language model and a pretrained DNA encoder by a new projector.

        Args:
            text_model (`str` or `PreTrainedModel`): A causal language model: Hub id, folder, or the model itself.
            dna_model (`str` or `PreTrainedModel`): A DNA encoder: Hub id, folder, or the model itself.
            dtype (`str` or `torch.dtype`, *optional*): Data type of all weights, by default that of the language
                model's checkpoint.
            attn_implementation (`str`, *optional*): For both models, e.g. `sdpa`.
            config_overrides: Fields of `TextGenomeConfig`. The ids of the three DNA tokens belong here; they are in
                the processor as `dna_token_id`, `dna_start_token_id` and `dna_end_token_id`. The embedding of the
                language model grows if they lie beyond its end.

        Raises:
            ValueError: If the language model's head has a bias, or it scales or caps its logits.
        """
        kwargs = {"dtype": dtype or "auto", "attn_implementation": attn_implementation}
        if isinstance(text_model, str):
            text_model = AutoModelForCausalLM.from_pretrained(text_model, trust_remote_code=False, **kwargs)
        if isinstance(dna_model, str):
            # In the type of the language model: saved together, both would come back in the type of the first.
            dna_model = load_dna_encoder(dna_model, **{**kwargs, "dtype": text_model.dtype})
        check_head(text_model.eval())
        dna_model = without_heads(dna_model)
        last_token = max([value for key, value in config_overrides.items() if key.endswith("token_id")], default=-1)
        if last_token >= text_model.get_input_embeddings().num_embeddings:
            text_model.resize_token_embeddings(last_token + 1)

        config = TextGenomeConfig(text_config=text_model.config, dna_config=dna_model.config, **config_overrides)
        config.dtype = text_model.dtype
        # On the meta device, or the random weights of both parts would take their memory a second time.
        with torch.device("meta"):
            model = cls(config)
        model.model.language_model = text_model.base_model
        model.model.dna_encoder = dna_model
        model.lm_head = text_model.get_output_embeddings()
        for new in (model.model.projector, model.model.dna_markers):
            new.to_empty(device=text_model.device).to(text_model.dtype)
            new.apply(model._init_weights)
        dna_tokens = model.generation_config.suppress_tokens or []
        model.generation_config = deepcopy(text_model.generation_config)
        suppressed = [*(model.generation_config.suppress_tokens or []), *dna_tokens]
        model.generation_config.suppress_tokens = suppressed or None
        model.tie_weights()
        return model.eval()

    def get_dna_features(self, *args, **kwargs) -> TextGenomeDNAOutput:
        """See `TextGenomeModel.get_dna_features`."""
        return self.model.get_dna_features(*args, **kwargs)

    @torch.no_grad()
    def get_prompt_embeds(
        self,
        input_ids: torch.LongTensor,
        attention_mask: torch.Tensor | None = None,
        dna_input_ids: torch.LongTensor | None = None,
        dna_attention_mask: torch.Tensor | None = None,
        dna_pool_ids: torch.LongTensor | None = None,
    ) -> list[torch.Tensor]:
        """Embed prompts, for an engine that runs the language model alone.

        Uses the embedding of the language model, but none of its layers. Takes the arguments of
        `TextGenomeModel.forward`.

        Returns:
            For each prompt `(its length, hidden_size)`, without padding, in the data type of the embedding.

        Raises:
            ValueError: If placeholders and DNA do not match, or one comes without the other.
        """
        inputs_embeds = self.get_input_embeddings()(input_ids)
        inputs_embeds, _ = self.model.insert_dna(
            input_ids, inputs_embeds, dna_input_ids, dna_attention_mask, dna_pool_ids
        )
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        return [embeds[kept] for embeds, kept in zip(inputs_embeds, mask.bool().to(inputs_embeds.device))]

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.LongTensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        dna_input_ids: torch.LongTensor | None = None,
        dna_attention_mask: torch.Tensor | None = None,
        dna_pool_ids: torch.LongTensor | None = None,
        cache: Cache | None = None,
        num_cached_dna_features: torch.LongTensor | None = None,
        dna_inputs_embeds: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> TextGenomeCausalLMOutputWithPast:
        """Predict the next token at each position. Takes the arguments of `TextGenomeModel.forward`, and:

        Args:
            labels (`torch.LongTensor` of shape `(batch, length)`, *optional*): Token ids, or -100 to ignore a position
                in the loss.
            logits_to_keep (`int` or `torch.Tensor`, *optional*, defaults to `0`): Number of last positions to compute
                logits for (0 means all), or their indices.

        Returns:
            `logits` of shape `(batch, kept positions, vocab_size)`, the cache, and with `labels` the `loss`.
        """
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            cache=cache,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            dna_input_ids=dna_input_ids,
            dna_attention_mask=dna_attention_mask,
            dna_pool_ids=dna_pool_ids,
            num_cached_dna_features=num_cached_dna_features,
            dna_inputs_embeds=dna_inputs_embeds,
            return_dict=True,
            **kwargs,
        )
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(outputs.last_hidden_state[:, kept, :])
        loss = None
        if labels is not None:
            loss = self.loss_function(
                logits=logits, labels=labels, vocab_size=self.config.text_config.vocab_size, **kwargs
            )
        return TextGenomeCausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            dna_hidden_states=outputs.dna_hidden_states,
            **{CACHE_NAME: outputs.get(CACHE_NAME)},
        )

    def generate(self, inputs=None, generation_config=None, **kwargs):
        """Continue prompts. Takes the arguments of `GenerationMixin.generate`, and the DNA of `forward`.

        Args:
            inputs: `(batch, length)`, the tokens of the prompts, padded on the left; or pass `input_ids`.
            generation_config: A `GenerationConfig`. By default that of the model.
            kwargs: `input_ids`, `attention_mask`, `dna_input_ids` and `dna_attention_mask` of the processor, and
                options such as `max_new_tokens` and `do_sample`.

        Returns:
            `(batch, length + new tokens)`, int64: prompts and what the model wrote; or, with
            `return_dict_in_generate=True`, these as `sequences` with scores and the cache.

        Raises:
            ValueError: If prompts are padded on the right, or an option such as `assistant_early_exit` or a text-only
                `assistant_model` cannot be used with DNA.

        Example:

            tokens = model.generate(**inputs, max_new_tokens=64, do_sample=True, temperature=0.7)
        """
        mask = kwargs.get("attention_mask")
        if mask is not None and mask.dim() == 2 and not mask[:, -1].all():
            raise ValueError(
                "The model would continue after the padding. Pad prompts on the left: `padding_side='left'` in "
                "`processor_kwargs`, or `pipeline.tokenizer.padding_side = 'left'`."
            )
        options = {**(generation_config or self.generation_config).to_dict(), **kwargs}
        if options.get("assistant_early_exit"):
            raise ValueError(
                "`assistant_early_exit` takes the first layers of one network, and this model is two: use "
                "`prompt_lookup_num_tokens`, or a smaller model of textgenome as `assistant_model`."
            )
        if kwargs.get("dna_input_ids") is not None:
            self.check_reads_dna(options.get("assistant_model"), options.get("prefill_chunk_size"), mask)
        return super().generate(inputs, generation_config, **kwargs)

    def check_reads_dna(
        self, assistant: PreTrainedModel | None, chunk_size: int | None, attention_mask: torch.Tensor | None
    ) -> None:
        """Raise ValueError if a draft model cannot read DNA, or the prompt would not be read in one piece."""
        if assistant is not None and assistant.config.model_type != self.config.model_type:
            raise ValueError(
                f"`assistant_model` is a {assistant.config.model_type} model, which reads no DNA and so cannot draft "
                "what is said of it: use a smaller model of textgenome, or `prompt_lookup_num_tokens`."
            )
        if chunk_size and (attention_mask is None or attention_mask.shape[1] > chunk_size):
            raise ValueError(
                "`prefill_chunk_size` would cut the prompt and part DNA tokens from their features: leave it unset."
            )

    def prepare_inputs_for_generation(
        self, input_ids, attention_mask=None, inputs_embeds=None, is_first_iteration=False, **kwargs
    ):
        inputs = super().prepare_inputs_for_generation(
            input_ids,
            attention_mask=attention_mask,
            inputs_embeds=inputs_embeds,
            is_first_iteration=is_first_iteration,
            **kwargs,
        )
        cache, new = kwargs.get(CACHE_NAME), inputs.get("input_ids")
        if kwargs.get("dna_input_ids") is None or new is None or cache is None or cache.get_seq_length() == 0:
            return inputs
        # Only a prompt holds placeholders, the first one or that of a later turn: past it the cache has the features.
        is_dna = (input_ids == self.config.dna_token_id) if is_first_iteration else None
        if is_first_iteration and (is_dna[:, -new.shape[1] :].any() or not is_dna.any()):
            inputs["num_cached_dna_features"] = is_dna[:, : -new.shape[1]].sum(1)
        else:
            inputs |= dict.fromkeys(("dna_input_ids", "dna_attention_mask", "dna_pool_ids", "dna_inputs_embeds"))
        return inputs


def check_not_packed(position_ids: torch.LongTensor) -> None:
    """Raise ValueError if positions start anew within a row: with a cache, documents would attend to each other."""
    if (position_ids.diff(dim=-1) < 0).any():
        raise ValueError(
            "`position_ids` start anew within a row: packed documents are kept apart with `use_cache=False` only."
        )


def without_first(features: torch.Tensor, counts: torch.LongTensor, left_out: torch.LongTensor) -> torch.Tensor:
    """Leave out the first features of each row; `counts` says how many of them, `(features, width)`, a row has."""
    ends = counts.cumsum(0)
    rows = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
    places = torch.arange(len(rows), device=counts.device) - (ends - counts)[rows]
    return features[(places >= left_out[rows]).to(features.device)]


@torch.no_grad()
def check_head(language_model: PreTrainedModel) -> None:
    """Raise ValueError unless the logits of a causal language model are a matrix times its hidden states."""
    if language_model.device.type == "meta":
        return
    tokens = torch.arange(2, device=language_model.device)[None]  # of which one may be padding, a row of zeros
    head = language_model.get_output_embeddings()
    expected = language_model.base_model(tokens)[0] @ head.weight.T
    if not torch.allclose(language_model(tokens).logits.float(), expected.float(), rtol=1e-2, atol=1e-4):
        raise ValueError(
            f"{type(language_model).__name__} has a bias in its head or changes its logits after it, by a scale or a "
            "cap, which the fused model would not."
        )


__all__ = [
    "TextGenomeForConditionalGeneration",
    "TextGenomeModel",
    "TextGenomePreTrainedModel",
]
