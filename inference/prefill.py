"""Reading long prompts before they are continued together."""

from contextlib import suppress
from copy import deepcopy
from itertools import groupby

import torch
from torch.nn import functional as F
from transformers import BatchFeature, DynamicCache, PreTrainedConfig, PreTrainedModel
from transformers.cache_utils import DynamicLayer
from transformers.generation import GenerationMode

from textgenome.modeling_cache import CACHE_NAME


# Tokens of the longest prompt from which it pays to read prompts apart: attention without a mask then saves more than
# larger matrices do. See docs/performance.md.
LONG = 1024
ROOM = 256  # tokens that may follow before a cache is copied


class RoomyLayer(DynamicLayer):
    """A layer of a cache in which new tokens have room, so that what is there is not copied for each of them.

    Args:
        keys: `(batch, heads, length, width)`.
        values: The same.
    """

    def __init__(self, keys: torch.Tensor, values: torch.Tensor):
        super().__init__()
        self.lazy_initialization(keys, values)
        self.keys, self.values = self._room = keys, values

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args, **kwargs):
        start = self.keys.shape[-2]
        end = start + key_states.shape[-2]
        # Rows may have been selected since, which makes other tensors of them.
        if self.keys.data_ptr() != self._room[0].data_ptr() or self._room[0].shape[-2] < end:
            self._room = tuple(F.pad(each, (0, 0, 0, end - start + ROOM)) for each in (self.keys, self.values))
        for room, states in zip(self._room, (key_states, value_states)):
            room[..., start:end, :] = states
        self.keys, self.values = (room[..., :end, :] for room in self._room)
        return self.keys, self.values


class PromptRead(Exception):
    """Ends a pass that reads prompts. See `ReadingCache`."""


class ReadingCache(DynamicCache):
    """A cache that raises `PromptRead` once it has the keys and values of the last layer.

    The prompt is read then: what the last layer would make of it, nothing needs.

    Args:
        config: Of the language model.
    """

    def __init__(self, config: PreTrainedConfig):
        super().__init__()
        self.last = config.num_hidden_layers - 1

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *args, **kwargs):
        states = super().update(key_states, value_states, layer_idx, *args, **kwargs)
        if layer_idx == self.last:
            raise PromptRead
        return states


@torch.no_grad()
def read_apart(model: PreTrainedModel, inputs: BatchFeature, **options) -> BatchFeature:
    """Read long prompts of a batch apart, those of one length together, so that none is padded.

    With padding attention needs a mask, for which it computes what comes later too, and copies keys and values. Of the
    last layer only keys and values are computed.

    Args:
        model: The fused model.
        inputs: For `generate`, padded on the left.
        options: For `generate`.

    Returns:
        What `generate` goes on from: tokens, mask and a cache of all but the last token of each prompt. The inputs
        themselves, where reading apart would be no faster, or what is asked for does not start from a cache.
    """
    mask = inputs["attention_mask"]
    if mask.shape[1] < LONG or not starts_from_cache(model, options):
        return inputs
    lengths = mask.sum(1).tolist()
    order = sorted(range(len(lengths)), key=lambda row: lengths[row])
    layers = None
    for length, group in groupby(order, key=lambda row: lengths[row]):
        rows = torch.tensor(list(group), device=mask.device)
        padding = mask.shape[1] - length
        part = {name: each[rows] for name, each in inputs.items()}
        part |= {name: part[name][:, padding:-1] for name in ("input_ids", "attention_mask")}
        cache = ReadingCache(model.config.get_text_config())
        with suppress(PromptRead):
            model(**part, use_cache=True, logits_to_keep=1, **{CACHE_NAME: cache})
        read = [F.pad(torch.stack([keys, values]), (0, 0, padding, 0)) for keys, values, *_ in cache]
        layers = layers or [each.new_zeros(2, len(mask), *each.shape[2:]) for each in read]
        for layer, each in zip(layers, read):
            layer[:, rows] = each
    joined = DynamicCache()
    joined.layers = [RoomyLayer(*layer) for layer in layers]
    return BatchFeature({"input_ids": inputs["input_ids"], "attention_mask": mask, CACHE_NAME: joined})


def starts_from_cache(model: PreTrainedModel, options: dict) -> bool:
    """Whether `generate`, with these options, continues each prompt once, from a plain cache of full attention."""
    assistant = options.get("assistant_model")
    config = deepcopy(model.generation_config)
    config.update(**options)
    return (
        config.get_generation_mode(assistant) in (GenerationMode.GREEDY_SEARCH, GenerationMode.SAMPLE)
        and config.num_return_sequences in (None, 1)
        and config.cache_implementation in (None, "dynamic")
        and config.use_cache is not False
        and all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config.get_text_config()).layers)
    )


__all__ = ["LONG", "RoomyLayer", "read_apart"]
