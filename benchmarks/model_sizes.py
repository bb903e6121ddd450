"""The table of model sizes in docs/encoders.md: counted on the meta device, from the committed sizes, no network.

Example run:

    python benchmarks/model_sizes.py
"""

import random
from pathlib import Path

import torch
import yaml
from peft import get_peft_model
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, PreTrainedConfig

from textgenome import (
    BorzoiForTrackPrediction,
    EnformerForTrackPrediction,
    TextGenomeConfig,
    TextGenomeForConditionalGeneration,
)
from textgenome.configuration.arguments import ModelArguments
from textgenome.configuration.base_models import BASE_MODELS, base_model_config
from textgenome.modeling_dna_encoder import build_dna_encoder
from textgenome.modeling_ntv2 import NTv2ForMaskedLM, is_ntv2
from textgenome.processing import build_dna_tokenizer
from textgenome.processing.dna_tokenizers import vocabulary_of
from textgenome.training.finetuning import prepare_model


RECIPES = Path(__file__).parents[1] / "configuration" / "recipes"


def count(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def with_head(config: PreTrainedConfig) -> torch.nn.Module | None:
    """The language model of text or DNA, or the predictor of tracks, that a base model is published as, or None."""
    tracks = {"borzoi": BorzoiForTrackPrediction, "enformer": EnformerForTrackPrediction}
    if config.model_type in tracks:
        return tracks[config.model_type](config)
    if is_ntv2(config.to_dict()):
        return NTv2ForMaskedLM(config)
    heads = dict.fromkeys(("esm", "caduceus"), AutoModelForMaskedLM)
    heads |= dict.fromkeys(("evo2", "hyenadna", "mixtral", "qwen3"), AutoModelForCausalLM)
    return heads[config.model_type].from_config(config) if config.model_type in heads else None


def base_models() -> None:
    print("| base model | parameters | with its head | licence |\n|---|---|---|---|")
    for hub_id, facts in BASE_MODELS.items():
        config = base_model_config(hub_id)
        with torch.device("meta"):
            without, whole = build_dna_encoder(config), with_head(config)
        counted = f"{count(whole):,}" if whole else "-"
        print(f"| {hub_id} | {count(without):,} | {counted} | {facts['license']} |")
    print()


def main() -> None:
    base_models()
    print("| language model | encoder | parameters | trained (LoRA r32, projector, markers) | bf16 | placeholders |")
    print("|---|---|---|---|---|---|")
    for recipe in sorted(RECIPES.glob("kegg_qwen3_*.yaml")):
        settings = yaml.safe_load(recipe.read_text(encoding="utf-8"))
        text, dna = (base_model_config(settings[name]) for name in ("text_model", "dna_model"))
        tokenizer = build_dna_tokenizer(vocabulary_of(dna))
        window = "".join(random.Random(0).choices("ACGT", k=settings["dna_window"]))
        ids = tokenizer(window)["input_ids"]
        placeholders = 2 * sum(token not in tokenizer.all_special_ids for token in ids)
        arguments = ModelArguments(text_model=settings["text_model"], dna_model=settings["dna_model"])
        with torch.device("meta"):
            model = TextGenomeForConditionalGeneration(TextGenomeConfig(text_config=text, dna_config=dna))
            total = count(model)
            adapted = get_peft_model(model, prepare_model(model, arguments))
        trained, _ = adapted.get_nb_trainable_parameters()
        names = (settings[name].split("/")[1] for name in ("text_model", "dna_model"))
        print(f"| {' | '.join(names)} | {total:,} | {trained:,} | {2 * total / 1e9:.1f} GB | {placeholders:,} |")


if __name__ == "__main__":
    main()
