"""The DNA encoder inside a model: building and loading one, and encoding padded batches with it."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel

from textgenome.configuration.configuration_remote_code import (
    SavesCodeMixin,
    is_packaged,
    module_name,
    packaged_class,
    remote_sources,
)
from textgenome.configuration.configuration_textgenome import bases_per_state


# What PEFT puts into the name of a module that it trains a copy of.
COPIES = re.compile(r"(^|\.)(modules_to_save\.[^.]+|original_module)(?=\.|$)")
# The encoders of this package, and which `config.json` each of them reads. Their modules fill it when imported.
DNA_ENCODERS: dict[type[PreTrainedModel], Callable[[dict], bool]] = {}


def register_dna_encoder(encoder: type[PreTrainedModel], reads: Callable[[dict], bool] | None = None) -> None:
    """Let the models here build and load an encoder by its class, whatever code its checkpoints name.

    Args:
        encoder: The class of an encoder without a head.
        reads: Tells from the content of a `config.json` whether it is that of such an encoder. By default its model
            type tells.
    """
    # By model type, not by class: remote code loaded from a local folder exists twice, and its classes with it.
    model_type = encoder.config_class.model_type
    DNA_ENCODERS[encoder] = reads or (lambda values: values.get("model_type") == model_type)


def find_encoder_class(values: dict) -> type[PreTrainedModel] | None:
    """The class of this package for the content of a `config.json`, or None where transformers has to have one."""
    return next((encoder for encoder, reads in DNA_ENCODERS.items() if reads(values)), None)


def find_layers(encoder: nn.Module, count: int) -> list[nn.ModuleList]:
    """The list of layers of an encoder, whatever it calls it; two lists if an adapter trains a copy of the encoder."""
    found = [module for module in encoder.modules() if isinstance(module, nn.ModuleList) and len(module) == count]
    if not found:
        raise ValueError(f"The DNA encoder {type(encoder).__name__} has no list of {count} layers.")
    return found


def find_modules(encoder: nn.Module, name: str) -> list[nn.Module]:
    """The module of this name, and its copy if an adapter trains one.

    Raises:
        ValueError: If there is none. The message says which names are near.
    """
    modules = {}
    for path, module in encoder.named_modules():
        modules.setdefault(COPIES.sub("", path).lstrip("."), []).append(module)
    if name not in modules:
        near = get_close_matches(name, modules, cutoff=0.4) or [path for path in modules if path][:3]
        raise ValueError(
            f"Field 'dna_feature_module' is {name!r}, but {type(encoder).__name__} has no such module. Near are "
            f"{', '.join(near)}."
        )
    return modules[name]


def without_heads(encoder: PreTrainedModel) -> PreTrainedModel:
    """Take off the heads of BERT-like and causal encoders: they would be trained by nothing and stall DDP."""
    encoder = encoder.base_model
    for head in ("pooler", "contact_head"):
        if getattr(encoder, head, None) is not None:
            setattr(encoder, head, None)
    return encoder


def build_dna_encoder(config: PreTrainedConfig, feature_module: str | None = None) -> PreTrainedModel:
    """A randomly initialised encoder.

    Raises:
        ValueError: If it has no module of the name `feature_module`.
    """
    own = find_encoder_class(config.to_dict())
    encoder = without_heads(own._from_config(config) if own else AutoModel.from_config(config))
    if feature_module is not None:
        find_modules(encoder, feature_module)
    return encoder


def load_dna_encoder(name_or_path: str, **kwargs) -> PreTrainedModel:
    """A pretrained encoder. Where this package has a class for it, that class reads it. Code of others is not run."""
    values, _ = PreTrainedConfig.get_config_dict(name_or_path, revision=kwargs.get("revision"))
    encoder_class = find_encoder_class(values) or AutoModel
    return without_heads(encoder_class.from_pretrained(name_or_path, trust_remote_code=False, **kwargs))


class SavesModelCodeMixin(SavesCodeMixin):
    """For a model whose `base_model` has a `dna_encoder`: saved with the code of that encoder and of no other.

    The modules of a model name no encoder: encoders register themselves. So its modules are made to import this one.
    """

    auto_map_file = "config.json"
    auto_class_names: tuple[str, ...] = ("AutoModel",)

    def auto_classes(self) -> dict[str, type]:
        own, base = packaged_class(self), packaged_class(self.base_model)
        return {"AutoConfig": type(self.config), "AutoModel": base, **dict.fromkeys(own.auto_class_names, own)}

    def remote_code(self) -> dict[str, str]:
        encoder = self.base_model.dna_encoder
        uses = {type(self.config): type(encoder.config), packaged_class(self): packaged_class(encoder)}
        uses = {user: used for user, used in uses.items() if is_packaged(used)}
        sources = remote_sources(*self.auto_classes().values(), *uses.values())
        for user, used in uses.items():
            sources[module_name(user)] += f"\nfrom .{module_name(used)} import {used.__name__}  # noqa\n"
        return sources


class EncodedDNA(NamedTuple):
    """The distinct sequences of a batch, encoded, with their states on the left.

    A state covers one token, or as many as `bases_per_state` of the encoder says.

    Args:
        states: `(distinct sequences, states, dna_hidden_size)`.
        tokens: `(distinct sequences, states)`, int64, the first token of each state, -1 for padding.
        index: `(sequences,)`, which of them each sequence of the batch is.
        order: `(sequences, states)`, where in the padded sequence the first token of each of its states stood.
    """

    states: torch.Tensor
    tokens: torch.LongTensor
    index: torch.LongTensor
    order: torch.LongTensor


def find_order(mask: torch.Tensor) -> torch.LongTensor:
    """Where to take tokens from so that padding follows them: `(..., length)` to the same, of a bool mask."""
    return mask.long().argsort(dim=-1, descending=True, stable=True)


class DNAEncoderMixin:
    """For a model with a `dna_encoder`, whose configuration is a `DNAFeaturesMixin`.

    Attributes:
        trains_batch_norm: Whether batch norms of the encoder learn their statistics in training. To be set for an
            encoder that begins with random weights, and has none.
    """

    trains_batch_norm = False

    @property
    def trains_dna_encoder(self) -> bool:
        return any(parameter.requires_grad for parameter in self.dna_encoder.parameters())

    def train(self, mode: bool = True):
        super().train(mode)
        if not self.trains_dna_encoder:
            self.dna_encoder.eval()  # a frozen encoder is a fixed function: no dropout
        for module in self.dna_encoder.modules():
            if isinstance(module, nn.BatchNorm1d) and not self.trains_batch_norm:
                module.eval()  # by its stored statistics: those of small padded batches are not those of genomes
        return self

    @property
    def num_used_layers(self) -> int:
        """How many layers of the encoder the features come through. Those after them get no gradient."""
        count = self.config.dna_config.num_hidden_layers
        name = self.config.dna_feature_module
        if name is None:
            return self.config.dna_feature_layer % (count + 1)
        place = {module: i for i, module in enumerate(self.dna_encoder.modules())}
        feature = find_modules(self.dna_encoder, name)[0]
        return sum(place[layer] <= place[feature] for layer in find_layers(self.dna_encoder, count)[0])

    def encode_dna(
        self,
        input_ids: torch.LongTensor,
        attention_mask: torch.LongTensor,
        inputs_embeds: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The features that the configuration chooses: `(sequences, length)` to `(sequences, states, width)`.

        Args:
            input_ids: `(sequences, length)`.
            attention_mask: Same shape, 1 for tokens and 0 for padding. With both strands padding is on the right.
            inputs_embeds: `(sequences, length, width)`, in place of what the embedding of the encoder gives for the
                tokens. If it requires gradients, they flow to it also through a frozen encoder.

        Returns:
            A state for each token, or for as many of them as `bases_per_state` of the encoder says.

        Raises:
            ValueError: If `dna_feature_module` gives something else than a state for each token, or `inputs_embeds`
                is given where both strands are read.
        """
        asked = inputs_embeds is not None and inputs_embeds.requires_grad
        with (
            torch.set_grad_enabled(torch.is_grad_enabled() and (self.trains_dna_encoder or asked)),
            self.replace_embeds(inputs_embeds),
        ):
            if self.config.both_strands == "none":
                return self.encode_strand(input_ids, attention_mask)
            return self.encode_both_strands(input_ids, attention_mask)

    @contextmanager
    def replace_embeds(self, inputs_embeds: torch.Tensor | None) -> Iterator[None]:
        """Let the embedding of the encoder give these embeddings, whatever tokens it is called with."""
        if inputs_embeds is None:
            yield
            return
        strands = self.config.both_strands != "none" or getattr(self.config.dna_config, "average_strands", False)
        embedding = None if strands else self.dna_encoder.get_input_embeddings()
        if embedding is None:
            raise ValueError(
                "`dna_inputs_embeds` needs an encoder that embeds tokens and reads one strand: the embeddings of the "
                "other strand are not those of its tokens."
            )
        hook = embedding.register_forward_hook(lambda _, args, output: inputs_embeds.to(output.dtype))
        try:
            yield
        finally:
            hook.remove()

    def encode_both_strands(self, input_ids: torch.LongTensor, attention_mask: torch.LongTensor) -> torch.Tensor:
        """The features of sequences and of their reverse complements, each beside or averaged with that of its base.

        Tokens that the tokenizer adds before or after the bases stay where they are. Where a state covers several
        bases, a sequence is filled up to whole states, as the encoder would by itself, before it is turned.
        """
        step, width = bases_per_state(self.config.dna_config), input_ids.shape[1]
        filled = F.pad(input_ids, (0, -width % step), value=self.config.dna_config.pad_token_id or 0)
        places = torch.arange(filled.shape[1], device=filled.device)
        lengths = attention_mask.sum(-1, keepdim=True)
        mask = places < -(-lengths // step) * step
        complement, is_base = filled, mask & (places >= lengths)
        for token, other in self.config.dna_complement_map.items():
            is_base = is_base | (filled == token) & (places < lengths)
            complement = torch.where(filled == token, other, complement)
        first = is_base.long().argmax(-1, keepdim=True)
        last = len(places) - 1 - is_base.long().flip(-1).argmax(-1, keepdim=True)
        turned = is_base.any(-1, keepdim=True) & (first <= places) & (places <= last)
        order = torch.where(turned, first + last - places, places)
        both = torch.cat([filled, complement.gather(1, order)])
        given, other = self.encode_strand(both, mask.long().repeat(2, 1)).chunk(2)
        back = order[:, ::step] // step
        other = other.gather(1, back[..., None].expand_as(other))
        return (given + other) / 2 if self.config.both_strands == "average" else torch.cat([given, other], dim=-1)

    def encode_strand(self, input_ids: torch.LongTensor, attention_mask: torch.LongTensor) -> torch.Tensor:
        """The states of the layer `dna_feature_layer`, or the output of `dna_feature_module`, of one strand."""
        inputs = {"attention_mask": attention_mask, "return_dict": True}
        count, name = self.config.dna_config.num_hidden_layers, self.config.dna_feature_module
        layer = self.config.dna_feature_layer % (count + 1)
        if name is None and layer == count:
            return self.dna_encoder(input_ids, **inputs).last_hidden_state
        if getattr(self.config.dna_config, "average_strands", False):
            # The layers see each strand by itself.
            return self.dna_encoder(input_ids, **inputs, output_hidden_states=True).hidden_states[layer]
        states = []

        def take_input(_, args, kwargs):
            states.append(args[0] if args else kwargs["hidden_states"])

        def take_output(_, args, output):
            states.append(output if isinstance(output, torch.Tensor) else output[0])

        if name is None:
            # Taken where it goes into the next layer: asking for hidden states would keep those of all layers.
            layers = [each[layer] for each in find_layers(self.dna_encoder, count)]
            hooks = [each.register_forward_pre_hook(take_input, with_kwargs=True) for each in layers]
        else:
            hooks = [each.register_forward_hook(take_output) for each in find_modules(self.dna_encoder, name)]
        try:
            self.dna_encoder(input_ids, **inputs)
        finally:
            for hook in hooks:
                hook.remove()
        expected = (*input_ids.shape, self.config.dna_config.hidden_size)
        found = tuple(states[0].shape) if states else "nothing"
        if name is not None and found != expected:
            raise ValueError(f"The module {name!r} of the DNA encoder gives {found} instead of states of {expected}.")
        return states[0]

    def encode_distinct_dna(
        self, input_ids: torch.LongTensor, attention_mask: torch.Tensor, inputs_embeds: torch.Tensor | None = None
    ) -> EncodedDNA:
        """Encode a batch in one pass, equal sequences once; a frozen encoder builds no graph.

        Args:
            input_ids: `(sequences, length)`.
            attention_mask: Same shape, 1 for DNA tokens. Padding may be on either side; each sequence has a token.
            inputs_embeds: `(sequences, length, width)`, see `encode_dna`. With them each sequence is encoded.
        """
        # Tokens to the left and padding to the right, at most as wide as needed: what an encoder makes of a sequence
        # then depends neither on the side of the padding nor on its neighbours in the batch.
        mask = attention_mask.bool()
        lengths = mask.sum(-1)
        width = int(lengths.max())
        order = find_order(mask)[:, :width]
        mask = torch.arange(width, device=mask.device) < lengths[:, None]
        tokens = input_ids.gather(1, order).masked_fill(~mask, -1)
        padding = self.config.dna_config.pad_token_id or 0
        if inputs_embeds is None:
            tokens, index = torch.unique(tokens, dim=0, return_inverse=True)
            states = self.encode_dna(tokens.masked_fill(tokens < 0, padding), (tokens >= 0).long())
        else:
            index = torch.arange(len(tokens), device=tokens.device)
            embeds = inputs_embeds.gather(1, order[..., None].expand(-1, -1, inputs_embeds.shape[-1]))
            # By the class: a cache may replace the method, and knows sequences by their tokens only.
            ids, mask = tokens.masked_fill(tokens < 0, padding), (tokens >= 0).long()
            states = type(self).encode_dna(self, ids, mask, embeds)
        step = bases_per_state(self.config.dna_config)
        return EncodedDNA(states, tokens[:, ::step], index, order[:, ::step])


__all__ = [
    "DNA_ENCODERS",
    "DNAEncoderMixin",
    "EncodedDNA",
    "build_dna_encoder",
    "find_encoder_class",
    "find_layers",
    "find_modules",
    "find_order",
    "load_dna_encoder",
    "register_dna_encoder",
    "without_heads",
]
