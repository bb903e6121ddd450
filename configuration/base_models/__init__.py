"""Facts of the pretrained models that the recipes name: Hub id, licence, source, sizes. They need no network."""

import json
from pathlib import Path

from transformers import PreTrainedConfig

from textgenome.configuration.configuration_textgenome import build_sub_config


_FILES = sorted(Path(__file__).parent.glob("*.json"))
_FACTS = [json.loads(file.read_text(encoding="utf-8")) for file in _FILES]
BASE_MODELS = {facts["hub_id"]: facts for facts in _FACTS}


def base_model_config(hub_id: str) -> PreTrainedConfig:
    """The configuration of a named base model, from the committed sizes.

    Raises:
        KeyError: If it is none of them.
    """
    if hub_id not in BASE_MODELS:
        raise KeyError(f"{hub_id} is none of the named base models: {', '.join(BASE_MODELS)}.")
    return build_sub_config(BASE_MODELS[hub_id]["config"], "qwen3")


__all__ = ["BASE_MODELS", "base_model_config"]
