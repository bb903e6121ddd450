"""What other implementations gave for tiny random models. Only their numbers are here, each with where it is from."""

import json
from pathlib import Path

import numpy as np
import torch
from torch import nn


def read_golden(name: str) -> dict:
    return json.loads((Path(__file__).parent / f"{name}.json").read_text(encoding="utf-8"))


@torch.no_grad()
def fill_weights(model: nn.Module, scale: float = 0.3) -> None:
    """The weights of the golden models: normal draws of numpy's RandomState(0), in the order of their names.

    The weights of norms are drawn around 1, the others around 0. Weights that are tied are drawn once.
    """
    random = np.random.RandomState(0)
    for name, parameter in sorted(model.named_parameters()):
        centre = 1.0 if "norm" in name.split(".")[-2].lower() and name.endswith("weight") else 0.0
        draw = random.standard_normal(parameter.shape) * scale + centre
        parameter.copy_(torch.from_numpy(draw.astype(np.float32)))
