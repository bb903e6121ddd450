"""The name of the cache of a language model, which changed."""

from dataclasses import fields

from transformers.modeling_outputs import BaseModelOutputWithPast


# `past_key_values` before transformers 5.24, `cache` from then on: in outputs, and in what `generate` passes.
CACHE_NAME = "cache" if "cache" in [each.name for each in fields(BaseModelOutputWithPast)] else "past_key_values"

__all__ = ["CACHE_NAME"]
