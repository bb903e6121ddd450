"""The tiny Evo2 models of which golden/evo2.json has the numbers."""

import numpy as np
import torch

from textgenome import Evo2Config, Evo2ForCausalLM, Evo2Model


SIZES = {"vocab_size": 96, "hidden_size": 24, "intermediate_size": 32, "num_attention_heads": 3}
DIRECT = Evo2Config(
    **SIZES, num_hidden_layers=7, block_types="hcs hcm hcl attention hcs hcm hcl".split(), hcs_filter_groups=4,
    hcm_filter_groups=6
)  # fmt: skip
CONVERTED = Evo2Config(
    **SIZES, num_hidden_layers=5, block_types="hcs hcm hcl attention attention".split(), hcs_filter_groups=8,
    hcm_filter_groups=12, state_size=4, rope_parameters={"rope_type": "linear", "rope_theta": 1000.0, "factor": 4.0}
)  # fmt: skip
BASES = torch.tensor([*b"ACGT"])


def seeded_weights(config: Evo2Config, seed: int) -> dict[str, torch.Tensor]:
    """The weights of the golden models: draws of numpy's RandomState in the order of their names."""
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in Evo2Model(config).state_dict().items()}
    random, weights = np.random.RandomState(seed), {}
    for name in sorted(shapes):
        values = torch.from_numpy(random.standard_normal(tuple(shapes[name]))).float()
        if name.endswith("log_poles"):
            values = -torch.exp(values - 2)
        elif name.endswith("scale"):
            values = 1 + values / 10
        else:
            values = values / 4
        exact = name.endswith(("log_poles", "residues"))
        weights[name] = values if exact else values.bfloat16().float()
    return weights


def seeded_ids(seed: int, *shape: int) -> torch.Tensor:
    return BASES[torch.from_numpy(np.random.RandomState(seed).randint(0, 4, shape))]


def golden_model(config: Evo2Config = DIRECT, seed: int = 1) -> Evo2ForCausalLM:
    model = Evo2ForCausalLM(config).eval()
    model.model.load_state_dict(seeded_weights(config, seed))
    return model
