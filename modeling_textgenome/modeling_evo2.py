"""Evo2: a causal DNA language model of convolutions with short, medium and long filters, and attention."""

import torch
from torch import nn
from torch.nn import functional as F
from transformers import Cache, DynamicCache, GenerationMixin, PreTrainedModel
from transformers import initialization as init
from transformers.masking_utils import create_causal_mask
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.utils import can_return_tuple, logging

from textgenome.configuration.configuration_evo2 import Evo2Config
from textgenome.modeling_cache import CACHE_NAME
from textgenome.modeling_convolution import depthwise_convolution, fft_convolution
from textgenome.modeling_dna_encoder import register_dna_encoder


logger = logging.get_logger(__name__)

E4M3_MAX = 448.0  # the largest 8-bit float with 4 bits of exponent and 3 of mantissa
# Long filters work through a sequence in pieces of so many tokens and carry their state from one to the next.
CHUNK = 1024
WIDTH_OF_1B = 1920


class RoundToE4M3(torch.autograd.Function):
    """Round to 8-bit floats of 4 bits of exponent, to even, at most +-448. The gradient passes unchanged."""

    @staticmethod
    def forward(ctx, values: torch.Tensor) -> torch.Tensor:
        # Beyond the largest value the type itself would give NaN.
        return values.clamp(-E4M3_MAX, E4M3_MAX).to(torch.float8_e4m3fn).to(values.dtype)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> torch.Tensor:
        return gradient


def fitting_scale(values: torch.Tensor, dim: int | tuple[int, ...]) -> torch.Tensor:
    """The factors that bring the largest value along `dim` to that of E4M3."""
    return E4M3_MAX / values.detach().float().abs().amax(dim, keepdim=True).clamp(min=1e-12)


def rotary_angles(config: Evo2Config, position_ids: torch.LongTensor, dtype: torch.dtype) -> torch.Tensor:
    """Cosines and sines of the rotary embeddings: `(2, batch, 1, length, head width / 2)`.

    They are computed in float32 whatever the weights are: in bfloat16, positions beyond 256 would coincide.
    """
    width = config.hidden_size // config.num_attention_heads
    exponents = torch.arange(0, width, 2, dtype=torch.float32, device=position_ids.device) / width
    frequencies = 1.0 / config.rope_parameters["rope_theta"] ** exponents
    positions = position_ids.float() / config.rope_parameters.get("factor", 1.0)
    angles = positions[:, None, :, None] * frequencies
    return torch.stack([angles.cos(), angles.sin()]).to(dtype)


def rotate(states: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Turn each pair of channels, one of the first half and one of the second, by the angle of its position."""
    (cosine, sine), (first, second) = angles.float(), states.float().chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], dim=-1).to(states.dtype)


def eager_attention(module, query, key, value, attention_mask, scaling, dropout=0.0, **kwargs):
    weights = query @ key.transpose(-1, -2) * scaling
    if attention_mask is not None:
        weights = weights + attention_mask
    weights = weights.softmax(-1, dtype=torch.float32).to(query.dtype)
    return (weights @ value).transpose(1, 2), weights


class Evo2RMSNorm(nn.Module):
    def __init__(self, config: Evo2Config):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(config.hidden_size))
        self.eps = config.rms_norm_eps

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        states = hidden_states.float()
        root = states.pow(2).mean(-1, keepdim=True).sqrt()
        return (self.scale * (states / (root + self.eps))).to(hidden_states.dtype)


class Evo2MLP(nn.Module):
    def __init__(self, config: Evo2Config, layer_idx: int):
        super().__init__()
        self.l1 = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.l2 = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.l3 = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)
        # Only the first block was trained with an activation.
        self.activation = nn.GELU() if layer_idx == 0 else nn.Identity()

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.l3(self.activation(self.l1(hidden_states)) * self.l2(hidden_states))


class Evo2Projection(nn.Linear):
    """The projections before a convolution, by configuration with weights and inputs rounded to 8-bit floats."""

    def __init__(self, config: Evo2Config, layer_idx: int):
        super().__init__(config.hidden_size, 3 * config.hidden_size, bias=False)
        self.quantized = config.projection_quantization == "fp8_e4m3"
        self.scales = config.projection_scales[layer_idx] if config.projection_scales else None

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        if not self.quantized:
            return super().forward(hidden_states)
        if self.scales is None:
            # A scale for each token: what becomes of it must not depend on later ones, nor on padding or neighbours.
            input_scale, weight_scale = fitting_scale(hidden_states, -1), fitting_scale(self.weight, (0, 1))
        else:
            input_scale, weight_scale = self.scales
        # The rounded values are exact in bfloat16, but their products exceed float16.
        dtype = torch.bfloat16 if hidden_states.dtype == torch.bfloat16 else torch.float32
        inputs = RoundToE4M3.apply(hidden_states.float() * input_scale).to(dtype)
        weight = RoundToE4M3.apply(self.weight.float() * weight_scale).to(dtype)
        return (F.linear(inputs, weight).float() / (input_scale * weight_scale)).to(hidden_states.dtype)


class Evo2Filter(nn.Module):
    """A Hyena operator: a convolution of few taps, two gates, and between them the filter of a subclass."""

    def __init__(self, config: Evo2Config, layer_idx: int):
        super().__init__()
        self.layer_idx = layer_idx
        self.short_filter_weight = nn.Parameter(torch.empty(3 * config.hidden_size, 1, config.short_filter_length))

    def forward(self, projected: torch.Tensor, past_key_values: Cache | None) -> torch.Tensor:
        """`(batch, 3 * hidden_size, length)` to `(batch, hidden_size, length)`; convolutions are float32."""
        extended = self.extend(projected, past_key_values, 0, self.short_filter_weight.shape[-1])
        with torch.autocast(projected.device.type, enabled=False):
            features = depthwise_convolution(extended.float(), self.short_filter_weight.float())
            features = features[..., -projected.shape[-1] :].to(projected.dtype)
            gate, first, second = features.unflatten(1, (-1, 3)).unbind(2)
            return gate * self.mix(first * second, past_key_values).to(projected.dtype)

    def extend(self, signal: torch.Tensor, past_key_values: Cache | None, state: int, taps: int) -> torch.Tensor:
        """What a filter of so many taps has to see: the signal, and before it that of tokens in the cache."""
        if past_key_values is None:
            return signal
        return past_key_values.update_conv_state(signal, self.layer_idx, state_idx=state, conv_kernel_size=taps - 1)

    def mix(self, signal: torch.Tensor, past_key_values: Cache | None) -> torch.Tensor:
        raise NotImplementedError


class Evo2ShortFilter(Evo2Filter):
    def __init__(self, config: Evo2Config, layer_idx: int):
        super().__init__(config, layer_idx)
        self.h = nn.Parameter(torch.empty(config.hcs_filter_groups, 1, config.hcs_filter_length))

    def mix(self, signal: torch.Tensor, past_key_values: Cache | None) -> torch.Tensor:
        groups, _, taps = self.h.shape
        filters = self.h.float().repeat_interleave(signal.shape[1] // groups, 0)
        extended = self.extend(signal, past_key_values, 1, taps)
        return depthwise_convolution(extended.float(), filters)[..., -signal.shape[-1] :]


class Evo2MediumFilter(Evo2Filter):
    """Here the first tap weighs the present token."""

    def __init__(self, config: Evo2Config, layer_idx: int):
        super().__init__(config, layer_idx)
        self.h = nn.Parameter(torch.empty(config.hcm_filter_groups, 1, config.hcm_filter_length))
        self.D = nn.Parameter(torch.empty(config.hidden_size))

    def mix(self, signal: torch.Tensor, past_key_values: Cache | None) -> torch.Tensor:
        groups, _, taps = self.h.shape
        extended = self.extend(signal, past_key_values, 1, taps).float()
        grouped, filters = extended.unflatten(1, (groups, -1)), self.h[..., : extended.shape[-1]].float()
        mixed = fft_convolution(grouped, filters).flatten(1, 2)[..., -signal.shape[-1] :]
        return mixed + self.D.float()[:, None] * signal


class Evo2LongFilter(Evo2Filter):
    """The filter `h(t) = sum_n residues_n * exp(log_poles_n * t)`, which a state of `state_size` numbers continues."""

    def __init__(self, config: Evo2Config, layer_idx: int):
        super().__init__(config, layer_idx)
        self.log_poles = nn.Parameter(torch.empty(config.hidden_size, config.state_size, 1))
        self.residues = nn.Parameter(torch.empty(config.hidden_size, config.state_size))
        self.D = nn.Parameter(torch.empty(config.hidden_size))

    def mix(self, signal: torch.Tensor, past_key_values: Cache | None) -> torch.Tensor:
        residues, state = self.residues.float(), None
        if past_key_values is not None:
            state = past_key_values.layers[self.layer_idx].recurrent_states[0]
        time = torch.arange(min(signal.shape[-1], CHUNK) + 1, device=signal.device)
        decay = torch.exp(self.log_poles.float() * time)  # (channels, state_size, chunk + 1)
        filters = torch.einsum("cn,cnt->ct", residues, decay[..., :-1])
        chunks, mixed = signal.float().split(CHUNK, dim=-1), []
        for index, chunk in enumerate(chunks):
            length = chunk.shape[-1]
            output = fft_convolution(chunk, filters[:, :length])
            if state is not None:
                output = output + torch.einsum("bcn,cnt->bct", residues * state, decay[..., 1 : length + 1])
            mixed.append(output)
            if past_key_values is not None or index < len(chunks) - 1:
                entered = torch.einsum("bct,cnt->bcn", chunk, decay[..., :length].flip(-1))
                state = entered if state is None else entered + decay[..., length] * state
        if past_key_values is not None:
            past_key_values.update_recurrent_state(state, self.layer_idx)
        return torch.cat(mixed, dim=-1) + self.D.float()[:, None] * signal


class Evo2Attention(nn.Module):
    """Rows of `Wqkv` are all queries, all keys, all values, head after head."""

    def __init__(self, config: Evo2Config, layer_idx: int):
        super().__init__()
        self.config, self.layer_idx, self.is_causal = config, layer_idx, True
        self.Wqkv = nn.Linear(config.hidden_size, 3 * config.hidden_size, bias=False)
        self.out_proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None,
        angles: torch.Tensor,
        past_key_values: Cache | None,
    ) -> torch.Tensor:
        heads = (3, self.config.num_attention_heads, -1)
        query, key, value = self.Wqkv(hidden_states).unflatten(-1, heads).transpose(1, 3).unbind(2)
        query, key = rotate(query, angles), rotate(key, angles)
        if past_key_values is not None:
            key, value = past_key_values.update(key, value, self.layer_idx)
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention)
        attended, _ = attend(self, query, key, value, attention_mask, scaling=query.shape[-1] ** -0.5)
        return self.out_proj(attended.flatten(-2))


class Evo2Block(GradientCheckpointingLayer):
    def __init__(self, config: Evo2Config, layer_idx: int):
        super().__init__()
        self.pre_norm = Evo2RMSNorm(config)
        self.post_norm = Evo2RMSNorm(config)
        self.mlp = Evo2MLP(config, layer_idx)


class Evo2AttentionBlock(Evo2Block):
    def __init__(self, config: Evo2Config, layer_idx: int):
        super().__init__(config, layer_idx)
        self.inner_mha_cls = Evo2Attention(config, layer_idx)

    def forward(self, hidden_states, attention_mask, padding, angles, past_key_values=None) -> torch.Tensor:
        attended = self.inner_mha_cls(self.pre_norm(hidden_states), attention_mask, angles, past_key_values)
        hidden_states = hidden_states + attended
        return hidden_states + self.mlp(self.post_norm(hidden_states))


class Evo2HyenaBlock(Evo2Block):
    filters = {"hcs": Evo2ShortFilter, "hcm": Evo2MediumFilter, "hcl": Evo2LongFilter}

    def __init__(self, config: Evo2Config, layer_idx: int):
        super().__init__(config, layer_idx)
        self.projections = Evo2Projection(config, layer_idx)
        self.filter = self.filters[config.block_types[layer_idx]](config, layer_idx)
        self.out_filter_dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden_states, attention_mask, padding, angles, past_key_values=None) -> torch.Tensor:
        projected = self.projections(self.pre_norm(hidden_states)).transpose(1, 2)
        if padding is not None:
            # Padding on the left comes before the sequence: no convolution may see it.
            projected = projected.masked_fill(padding[:, None], 0)
        mixed = self.filter(projected, past_key_values).transpose(1, 2)
        hidden_states = hidden_states + self.out_filter_dense(mixed)
        return hidden_states + self.mlp(self.post_norm(hidden_states))


class Evo2PreTrainedModel(PreTrainedModel):
    config: Evo2Config
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _no_split_modules = ["Evo2AttentionBlock", "Evo2HyenaBlock"]
    _skip_keys_device_placement = ["past_key_values", "cache"]
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = _supports_attention_backend = True
    # In bfloat16 a pole that halves over thousands of tokens could not be told from 1.
    _keep_in_fp32_modules_strict = ["log_poles", "residues"]

    @torch.no_grad()
    def _init_weights(self, module):
        super()._init_weights(module)
        if isinstance(module, Evo2RMSNorm):
            init.ones_(module.scale)
        if isinstance(module, Evo2Filter):
            init.normal_(module.short_filter_weight, std=module.short_filter_weight.shape[-1] ** -0.5)
        if isinstance(module, (Evo2ShortFilter, Evo2MediumFilter)):
            init.normal_(module.h, std=module.h.shape[-1] ** -0.5)
        if isinstance(module, (Evo2MediumFilter, Evo2LongFilter)):
            init.zeros_(module.D)
        if isinstance(module, Evo2LongFilter):
            # Decays over one to ten thousand tokens, each with a step response of about the same size.
            rates = torch.logspace(0, -4, module.residues.shape[-1]).expand_as(module.residues)
            init.copy_(module.log_poles, -rates[..., None])
            init.normal_(module.residues)
            init.copy_(module.residues, module.residues * rates.to(module.residues.device))


class Evo2Model(Evo2PreTrainedModel):
    """The Evo2 network without a head. Padding, on either side, does not change the states of the other tokens."""

    def __init__(self, config: Evo2Config):
        super().__init__(config)
        self.embedding_layer = nn.Embedding(config.vocab_size, config.hidden_size)
        self.blocks = nn.ModuleList(
            (Evo2AttentionBlock if kind == "attention" else Evo2HyenaBlock)(config, index)
            for index, kind in enumerate(config.block_types)
        )
        self.norm = Evo2RMSNorm(config)
        self.gradient_checkpointing = False
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.embedding_layer

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.embedding_layer = value

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool = False,
        cache: Cache | None = None,
        **kwargs,
    ) -> BaseModelOutputWithPast:
        """Encode DNA.

        Args:
            input_ids (`torch.LongTensor`, *optional*): `(batch, length)` bytes.
            attention_mask (`torch.Tensor` of shape `(batch, tokens in the cache + length)`, *optional*): 1 for tokens
                and 0 for padding.
            position_ids (`torch.LongTensor` of shape `(batch, length)`, *optional*): By default the first token of
                each row that is not padding has position 0.
            past_key_values (`Cache`, *optional*): The same as `cache`, by the name that it has before transformers
                5.24.
            inputs_embeds (`torch.FloatTensor` of shape `(batch, length, hidden_size)`, *optional*): In place of
                `input_ids`.
            use_cache (`bool`, *optional*): Whether to return a cache, by default `config.use_cache`.
            output_hidden_states (`bool`, *optional*, defaults to `False`): Whether to return the embedding and the
                output of every block as well.
            cache (`Cache`, *optional*): The cache of an earlier call, to continue it.

        Returns:
            `last_hidden_state` of shape `(batch, length, hidden_size)`.
        """
        self.warn_without_fp8()
        if inputs_embeds is None:
            inputs_embeds = self.embedding_layer(input_ids)
        length = inputs_embeds.shape[1]
        cache = past_key_values if cache is None else cache
        if cache is None and (self.config.use_cache if use_cache is None else use_cache):
            cache = DynamicCache(config=self.config)
        if position_ids is None:
            position_ids = self.positions(attention_mask, inputs_embeds, cache)
        if attention_mask is not None and cache is None:
            # Without a cache, nothing sees padding on the right: attention over long DNA needs no mask.
            attention_mask = attention_mask if has_padding_before_tokens(attention_mask) else None
        masks = {
            "attention_mask": create_causal_mask(
                config=self.config,
                inputs_embeds=inputs_embeds,
                attention_mask=attention_mask,
                **{CACHE_NAME: cache},
            ),
            "padding": None if attention_mask is None else attention_mask[:, -length:] == 0,
            "angles": rotary_angles(self.config, position_ids, inputs_embeds.dtype),
        }
        hidden_states, all_hidden_states = inputs_embeds, ()
        for block in self.blocks:
            if output_hidden_states:
                all_hidden_states += (hidden_states,)
            hidden_states = block(hidden_states, **masks, past_key_values=cache)
        hidden_states = self.norm(hidden_states)
        return BaseModelOutputWithPast(
            last_hidden_state=hidden_states,
            hidden_states=(*all_hidden_states, hidden_states) if output_hidden_states else None,
            **{CACHE_NAME: cache},
        )

    def positions(self, attention_mask, inputs_embeds, past_key_values) -> torch.LongTensor:
        length = inputs_embeds.shape[1]
        if attention_mask is not None:
            return (attention_mask.long().cumsum(-1) - 1).clamp(min=0)[:, -length:]
        seen = 0 if past_key_values is None else past_key_values.get_seq_length()
        return torch.arange(seen, seen + length, device=inputs_embeds.device)[None]

    def warn_without_fp8(self) -> None:
        if self.config.hidden_size == WIDTH_OF_1B and self.config.projection_quantization == "none":
            logger.warning_once(
                "This Evo2 1B runs without 8-bit projections. The weights of evo2_1b_base were trained with them: on "
                "the four test sequences of its authors the loss is 0.502 with, 1.248 was reported without. Set "
                'projection_quantization="fp8_e4m3" in the configuration, unless these weights were trained otherwise.'
            )


def has_padding_before_tokens(attention_mask: torch.Tensor) -> bool:
    return bool((attention_mask[:, 1:] > attention_mask[:, :-1]).any())


class Evo2ForCausalLM(Evo2PreTrainedModel, GenerationMixin):
    """Evo2 with its head, which predicts the next base. Rows of a batch may be padded on the left.

    Args:
        config (`Evo2Config`): Of the network.

    Example:

        sizes = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2}
        filters = {"block_types": ["hcs", "attention"], "hcs_filter_groups": 4, "hcm_filter_groups": 4}
        config = Evo2Config(**sizes, **filters)
        model = Evo2ForCausalLM(config)
        logits = model(torch.tensor([list(b"ACGT")])).logits  # (1, 4, 512)
    """

    _tied_weights_keys = {"lm_head.weight": "model.embedding_layer.weight"}

    def __init__(self, config: Evo2Config):
        super().__init__(config)
        self.model = Evo2Model(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        labels: torch.LongTensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        cache: Cache | None = None,
        **kwargs,
    ) -> CausalLMOutputWithPast:
        """Predict the next base at every position.

        Args:
            labels (`torch.LongTensor` of shape `(batch, length)`, *optional*): The tokens themselves, or -100 where
                there is nothing to learn.
            logits_to_keep (`int` or `torch.Tensor`, *optional*, defaults to `0`): How many logits to compute, counted
                from the end, or which positions. 0 means all.

        Returns:
            `logits` of shape `(batch, length, vocab_size)`, with `labels` also `loss`.
        """
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            cache=cache,
            **kwargs,
        )
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(outputs.last_hidden_state[:, kept])
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size, **kwargs)
        return CausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            hidden_states=outputs.hidden_states,
            **{CACHE_NAME: outputs.get(CACHE_NAME)},
        )


register_dna_encoder(Evo2Model)

__all__ = ["Evo2ForCausalLM", "Evo2Model", "Evo2PreTrainedModel"]
