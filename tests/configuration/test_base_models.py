from pathlib import Path

import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM

from textgenome import (
    TextGenomeConfig,
    TextGenomeDNAConfig,
    TextGenomeDNAForSequenceClassification,
    TextGenomeForConditionalGeneration,
)
from textgenome.configuration.base_models import BASE_MODELS, base_model_config
from textgenome.modeling_dna_encoder import build_dna_encoder


FOLDER = Path(__file__).parents[2] / "configuration" / "recipes"
RECIPES = sorted(FOLDER.glob("kegg_qwen3_*.yaml"))
CLASSIFIERS = sorted(FOLDER.glob("classifier_*.yaml"))
# With their heads. Genos and Qwen3: as their developers count them. Evo2 1B: as its authors' code builds it.
COUNTS = {
    "BGI-HangzhouAI/Genos-1.2B": 1_246_094_336,
    "BGI-HangzhouAI/Genos-10B": 10_270_248_960,
    "arcinstitute/evo2_1b_base": 1_107_989_760,
    "arcinstitute/evo2_7b_base": 6_481_059_584,
    "Qwen/Qwen3-1.7B": 1_720_574_976,
    "Qwen/Qwen3-4B": 4_022_468_096,
    "Qwen/Qwen3-8B": 8_190_735_360,
}


def count(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("hub_id", COUNTS)
def test_counts_of_causal_models(hub_id):
    with torch.device("meta"):
        assert count(AutoModelForCausalLM.from_config(base_model_config(hub_id))) == COUNTS[hub_id]


@pytest.mark.parametrize(
    "hub_id, network, positions",
    [
        ("LongSafari/hyenadna-tiny-1k-seqlen-hf", 436_096, 2 * 1026 * 5),
        ("LongSafari/hyenadna-large-1m-seqlen-hf", 6_550_528, 8 * 1_000_002 * 5),
    ],
)
def test_counts_of_hyenadna(hub_id, network, positions):
    with torch.device("meta"):
        assert count(build_dna_encoder(base_model_config(hub_id))) == network + positions


def test_every_base_model_states_licence_and_source():
    for hub_id, facts in BASE_MODELS.items():
        assert facts["hub_id"] == hub_id and facts["license"] and facts["source"]
    assert BASE_MODELS["InstaDeepAI/nucleotide-transformer-2.5b-multi-species"]["license"].startswith("cc-by-nc")


def test_unknown_base_models_are_refused():
    with pytest.raises(KeyError, match="none of the named"):
        base_model_config("x/y")


def test_twelve_combinations():
    assert len(RECIPES) == 12


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_instantiates_without_a_network(recipe):
    settings = yaml.safe_load(recipe.read_text())
    text, dna = base_model_config(settings["text_model"]), base_model_config(settings["dna_model"])
    with torch.device("meta"):
        model = TextGenomeForConditionalGeneration(TextGenomeConfig(text_config=text, dna_config=dna))
    assert model.model.projector.linear.weight.shape == (text.hidden_size, dna.hidden_size)


def test_four_classifiers_of_published_encoders_and_two_small_ones():
    assert len(CLASSIFIERS) == 6


@pytest.mark.parametrize("recipe", CLASSIFIERS, ids=lambda path: path.stem)
def test_every_classifier_instantiates_without_a_network(recipe):
    settings = yaml.safe_load(recipe.read_text())
    dna = settings.get("dna_config") or base_model_config(settings["dna_model"])
    config = TextGenomeDNAConfig(dna_config=dna, num_labels=37)
    with torch.device("meta"):
        model = TextGenomeDNAForSequenceClassification(config)
    width = config.dna_config.hidden_size
    assert [layer.weight.shape for layer in (model.classifier[0], model.classifier[-1])] == [
        (width, 2 * width),
        (37, width),
    ]
    assert settings["dna_window"] <= 2048
