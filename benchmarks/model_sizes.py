"""The tables of model sizes in docs/encoders.md: counted on the meta device, from the committed sizes, no network.

Example run:

    python benchmarks/model_sizes.py
"""

import random
import re

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
from textgenome.configuration.recipe_paths import RECIPES, find_recipe
from textgenome.modeling_dna_encoder import build_dna_encoder
from textgenome.modeling_ntv2 import NTv2ForMaskedLM, is_ntv2
from textgenome.processing import build_dna_tokenizer
from textgenome.processing.dna_tokenizers import vocabulary_of
from textgenome.training.finetuning import prepare_model


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


def published_pairs() -> list[tuple[str, str]]:
    """Hub ids of language model and encoder of each command line beside the recipes, but for models never released."""
    lines = re.findall(r"^textgenome .*", (RECIPES / "sft" / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    pairs = [tuple(re.findall(r"--(?:text|dna)_model (\S+)", line)) for line in lines]
    # A converted encoder is named by its folder there.
    ids = {hub_id.rpartition("/")[2]: hub_id for hub_id in BASE_MODELS}
    pairs = [(text, ids.get(dna, dna)) for text, dna in pairs]
    return [(text, dna) for text, dna in pairs if text in BASE_MODELS]


def fused_model(text_model: str, dna_model: str, dna_window: int) -> str:
    """A row of the table."""
    text, dna = base_model_config(text_model), base_model_config(dna_model)
    tokenizer = build_dna_tokenizer(vocabulary_of(dna))
    ids = tokenizer("".join(random.Random(0).choices("ACGT", k=dna_window)))["input_ids"]
    placeholders = 2 * sum(token not in tokenizer.all_special_ids for token in ids)
    arguments = ModelArguments(text_model=text_model, dna_model=dna_model)
    with torch.device("meta"):
        model = TextGenomeForConditionalGeneration(TextGenomeConfig(text_config=text, dna_config=dna))
        total = count(model)
        adapted = get_peft_model(model, prepare_model(model, arguments))
    trained, _ = adapted.get_nb_trainable_parameters()
    names = " | ".join(name.rpartition("/")[2] for name in (text_model, dna_model))
    return f"| {names} | {total:,} | {trained:,} | {2 * total / 1e9:.1f} GB | {placeholders:,} |"


def main() -> None:
    base_models()
    recipe = yaml.safe_load(find_recipe("kegg", "sft").read_text(encoding="utf-8"))
    print("| language model | encoder | parameters | trained (LoRA r32, projector, markers) | bf16 | placeholders |")
    print("|---|---|---|---|---|---|")
    for text_model, dna_model in published_pairs():
        print(fused_model(text_model, dna_model, recipe["dna_window"]), flush=True)


if __name__ == "__main__":
    main()
