import pytest
import torch
from transformers import AutoModelForCausalLM

from textgenome.configuration.base_models import BASE_MODELS, base_model_config
from textgenome.modeling_dna_encoder import build_dna_encoder


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
