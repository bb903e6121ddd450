"""Steps of the task `expression` with each kind of encoder: the tower on frozen ones, Enformer and Borzoi whole."""

import gzip
import json

import numpy as np
import pytest
import torch
from runs import QUICK, as_flags
from transformers import AutoModelForSequenceClassification

from textgenome.data.expression_rows import load_genes
from textgenome.inference.expression import predict_expression
from textgenome.training import dna, expression


SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
NTV2 = {"model_type": "esm", "add_bias_fnn": False, "position_embedding_type": "rotary", "vocab_size": 4107}
S2F = {"dim": 24, "depth": 1, "heads": 2, "attn_dim_key": 4, "max_position_embeddings": 2048}
WHOLE = {"expression_head": "center", "freeze_dna_encoder": False, "learning_rate": 1e-2}
# Configuration of the encoder, and flags; the tower reads 146 states or more.
ENCODERS = {
    "ntv2": (
        {**NTV2, **SIZES, "pad_token_id": 1, "mask_token_id": 2, "max_position_embeddings": 302},
        {"dna_tokenizer": "nucleotide_transformer_v2", "state_bin": 6},
    ),
    "caduceus": ({"model_type": "caduceus", "d_model": 16, "n_layer": 2, "ssm_cfg": {"d_state": 4}}, {"state_bin": 4}),
    "evo2": (
        {
            **{"model_type": "evo2", **SIZES, "block_types": ["hcl", "attention"]},
            **{"hcs_filter_groups": 4, "hcm_filter_groups": 4, "max_position_embeddings": 512},
        },
        {"state_bin": 4, "dna_feature_module": "blocks.0"},
    ),
    "enformer": ({"model_type": "enformer", **S2F, "num_downsamples": 3, "dim_divisible_by": 2}, WHOLE),
    "borzoi": (
        {
            **{"model_type": "borzoi", **S2F, "conv_dims": [4, 6, 8], "hidden_size": 16},
            **{"attn_dim_value": 6, "num_rel_pos_features": 8},
        },
        WHOLE,
    ),
}


@pytest.fixture(scope="module")
def files(starter_genome, tmp_path_factory):
    """Two genes of the starter genome, one on each strand."""
    lines = gzip.open(starter_genome / "expression.bed.gz", "rt").read().splitlines()
    chosen = [next(line for line in lines[1:] if f"\t{strand}\t" in line) for strand in "+-"]
    path = tmp_path_factory.mktemp("genes") / "e.bed"
    path.write_text("\n".join([lines[0], *chosen]) + "\n")
    return {"fasta": starter_genome / "genome.fa", "vcf": starter_genome / "people.vcf.gz", "expression": path}


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ENCODERS)
def test_steps_are_trained_and_people_are_predicted(files, tmp_path, encoder, monkeypatch):
    config, flags = ENCODERS[encoder]
    before, build = {}, expression.build

    def remember(*args):
        model, processor = build(*args)
        before.update({name: weights.clone() for name, weights in model.named_parameters()})
        return model, processor

    monkeypatch.setattr(expression, "build", remember)
    settings = {
        **QUICK,
        **files,
        "task": "expression",
        "dna_config": json.dumps(config),
        "window": 1024,
        "max_steps": 2,  # the rate of the first one is 0
    }
    settings |= {"per_device_train_batch_size": 4, "group_size": 4, "do_eval": False, "output_dir": tmp_path / "out"}
    dna.main(as_flags({**settings, **flags}))
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    changed = {name for name, weights in model.named_parameters() if not torch.equal(weights, before[name])}
    is_whole = flags is WHOLE
    assert any(name.startswith("model.dna_encoder") for name in changed) == is_whole
    assert any(name.startswith("pooling") for name in changed)
    assert load_genes(tmp_path / "out").trained_encoder == is_whole
    rows = list(predict_expression(tmp_path / "out", files["vcf"], files["fasta"], samples=["P001", "P002", "P003"]))
    values = np.array([row["prediction"] for row in rows])
    assert len(values) == 6 and np.isfinite(values).all() and len(set(values.round(6))) > 2
