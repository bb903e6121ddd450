"""The language model alone, for engines that know it and not this package, such as vLLM."""

from pathlib import Path

import torch
from huggingface_hub import ModelCard, ModelCardData
from transformers import AutoModelForCausalLM, PreTrainedModel

from textgenome import TextGenomeForConditionalGeneration
from textgenome.data.files import read_json, write_json, written_whole
from textgenome.hub_card.card import TAGS, origin
from textgenome.hub_card.export import README, fetch, load_merged
from textgenome.inference.asking import open_fused
from textgenome.inference.checkpoints import training_settings, without_path


TEMPLATE = Path(__file__).parent / "language_model_card.md.jinja"


def export_language_model(checkpoint: str | Path, folder: str | Path, revision: str | None = None) -> Path:
    """Write the language model of a checkpoint, LoRA folded in, as a plain one of transformers, with its tokenizer.

    What it reads in place of DNA comes from the whole model: see
    `TextGenomeForConditionalGeneration.get_prompt_embeds`.

    Args:
        checkpoint: Folder or repository of a fused model or its adapter.
        folder: Where to. Must not be there.
        revision: Of a repository.

    Raises:
        FileExistsError: If `folder` is there.
        FileNotFoundError: If `checkpoint` holds no safetensors, or the base of an adapter is not there.
        ValueError: If the model has no language model.
    """
    with written_whole(Path(folder)) as unfinished:
        source = fetch(str(checkpoint), revision)
        open_fused(str(source))
        model, processor = load_merged(source)
        separate_language_model(model).save_pretrained(unfinished)
        processor.tokenizer.save_pretrained(unfinished)
        path = unfinished / "tokenizer_config.json"
        tokenizer = read_json(path)
        tokenizer.pop("processor_class", None)  # is not in this folder
        write_json(path, tokenizer)
        settings = training_settings(str(source))
        head, facts = origin(source, model.config, settings)
        data = ModelCardData(
            model_name=Path(folder).name,
            library_name="transformers",
            pipeline_tag="text-generation",
            language="en",
            **head,
            tags=[tag for tag in TAGS if tag != "custom_code"],
        )
        card = ModelCard.from_template(
            data, template_path=TEMPLATE, name=Path(folder).name, origin=without_path(str(checkpoint)), **facts
        )
        card.save(unfinished / README)
    return Path(folder)


def separate_language_model(model: TextGenomeForConditionalGeneration) -> PreTrainedModel:
    """The causal language model in a fused model. They share their weights."""
    with torch.device("meta"):
        language_model = AutoModelForCausalLM.from_config(model.config.text_config)
    setattr(language_model, language_model.base_model_prefix, model.model.language_model)
    language_model.set_output_embeddings(model.lm_head)
    language_model.generation_config = model.generation_config
    language_model.tie_weights()
    return language_model


__all__ = ["export_language_model", "separate_language_model"]
