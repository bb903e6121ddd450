"""What is done to a model before it is trained."""

import pytest
import torch
from conftest import random_dna
from torch import nn

from textgenome import TextGenomeDNAConfig, TextGenomeDNAForTrackPrediction, TextGenomeDNAProcessor
from textgenome.processing import build_dna_tokenizer
from textgenome.training.finetuning import synchronize_batch_norms


BORZOI = {"model_type": "borzoi", "conv_dims": [4, 6], "dim": 8, "hidden_size": 16, "depth": 0}
INPUTS = TextGenomeDNAProcessor(build_dna_tokenizer("enformer"))([random_dna(40), random_dna(23)], return_tensors="pt")


@pytest.mark.parametrize("from_random", [True, False])
def test_batch_norms_that_learn_are_synchronized_and_stay_what_they_were(from_random):
    config = TextGenomeDNAConfig(dna_config=BORZOI, id2label={0: "a"}, track_head="genos", track_resolution=2)
    model = TextGenomeDNAForTrackPrediction(config)
    model.model.trains_batch_norm = from_random
    for norm in (each for each in model.modules() if isinstance(each, nn.BatchNorm1d)):
        nn.init.uniform_(norm.running_mean)
    weights, expected = (
        {name: each.clone() for name, each in model.state_dict().items()},
        model.eval()(**INPUTS).logits,
    )
    synchronize_batch_norms(model)
    kinds = {"head": nn.SyncBatchNorm, "model": nn.SyncBatchNorm if from_random else nn.BatchNorm1d}
    for part, kind in kinds.items():
        norms = [each for each in model.get_submodule(part).modules() if hasattr(each, "running_mean")]
        assert norms and all(type(each) is kind for each in norms)
    assert all(torch.equal(each, weights[name]) for name, each in model.state_dict().items())
    assert torch.equal(model.eval()(**INPUTS).logits, expected)
    learning = [each.training for each in model.train().model.modules() if hasattr(each, "running_mean")]
    assert all(learning) if from_random else not any(learning)
